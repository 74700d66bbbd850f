//! Connectors as Exchange Online has them: `New-InboundConnector` and `New-OutboundConnector` of its PowerShell, and the
//! JSON of `Get-InboundConnector | ConvertTo-Json`.
//!
//! Every parameter has an effect here, says what is the case anyway, or is refused by name.

mod export;
mod import;
mod parameter;
mod powershell;

pub use self::export::{export, left_out};
pub use self::import::{ImportError, Imported, import};

#[cfg(test)]
mod tests;
