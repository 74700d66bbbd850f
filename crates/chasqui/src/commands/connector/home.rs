//! Where connectors are looked at and changed.

use std::path::Path;

use admin::view::{Changes, Connector, Edit, Run, Trial, Tried};
use admin::{Client, ClientError};

use crate::arguments::Reach;
use crate::failure::{Code, Failure, Result};
use crate::reach::client;
use crate::{look, tryout};

/// Where connectors are kept: at the running relay, or in the files of one that does not run.
pub(super) enum Home<'a> {
    Relay(Client),
    Files(&'a Path),
}

impl<'a> Home<'a> {
    /// The one that `reach` leads to.
    pub(super) async fn of(reach: &'a Reach) -> Result<Self> {
        // With the settings wrong no socket is known, and what is wrong is said when they are edited.
        let client = match client(reach) {
            Ok(client) => client,
            Err(_) if reach.socket.is_none() => return Ok(Self::Files(&reach.config)),
            Err(failure) => return Err(failure),
        };
        match client.status().await {
            Err(ClientError::NotRunning(_)) if reach.socket.is_none() => {
                Ok(Self::Files(&reach.config))
            }
            Err(error @ (ClientError::NotRunning(_) | ClientError::Denied(_))) => Err(error.into()),
            _ => Ok(Self::Relay(client)),
        }
    }

    /// All connectors.
    pub(super) async fn connectors(&self) -> Result<Vec<Connector>> {
        Ok(match self {
            Self::Relay(client) => client.connectors().await?.connectors,
            Self::Files(file) => settings::connectors(file)?,
        })
    }

    /// Changes some.
    pub(super) async fn edit(&self, edits: &[Edit], run: Run) -> Result<Changes> {
        match (self, run) {
            (Self::Relay(client), _) => Ok(client.edit(edits, run).await?),
            (Self::Files(file), run) => {
                let plan = match run {
                    Run::Dry => settings::plan(file, edits, look::all, look::odd_at_rest)?,
                    Run::Real => settings::apply_edits(file, edits, look::all, look::odd_at_rest)?,
                };
                let (done, changes, warnings) = (run == Run::Real, plan.changes, plan.odd);
                Ok(Changes { done, changes, warnings, ..Changes::default() })
            }
        }
    }

    /// Tries an outbound connector.
    pub(super) async fn test(&self, name: &str, trial: Trial) -> Result<Tried> {
        match self {
            Self::Relay(client) => Ok(client.test(name, &trial).await?),
            Self::Files(file) => tryout::of_file(file, name, trial).await.map_err(|failure| {
                let hint = Some(failure.hint().to_owned());
                Failure { error: failure.into(), hint, code: Code::Failed }
            }),
        }
    }
}
