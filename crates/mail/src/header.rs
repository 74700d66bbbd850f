//! The header of a message: read as fields, changed field by field.

mod beginning;
mod edit;
mod field;
mod read;

pub use beginning::{Beginning, body_at};
pub use edit::{Edit, Place, Which, apply};
pub use field::{FieldError, FieldName, FieldValue};
pub use read::{Field, Header};
