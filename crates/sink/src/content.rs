//! What becomes of the content.

use std::io;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

/// What becomes of the content of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is counted and forgotten: the fastest.
    Nothing,
    /// It comes with the [`Message`](crate::Message).
    Memory,
    /// It goes to `N.eml` in this folder, where N is the message's number. The file appears when it is whole.
    Folder(PathBuf),
}

/// Content on its way.
pub(crate) enum Content {
    Counted,
    Memory(BytesMut),
    File { file: File, path: PathBuf },
}

impl Content {
    /// Begins a message; `name` is like no other connection's.
    pub(crate) async fn begin(keep: &Keep, name: u64) -> io::Result<Self> {
        match keep {
            Keep::Nothing => Ok(Self::Counted),
            Keep::Memory => Ok(Self::Memory(BytesMut::new())),
            Keep::Folder(folder) => {
                let path = folder.join(format!(".{name}.part"));
                Ok(Self::File { file: File::create(&path).await?, path })
            }
        }
    }

    pub(crate) async fn append(&mut self, chunk: &Bytes) -> io::Result<()> {
        match self {
            Self::Counted => Ok(()),
            Self::Memory(all) => {
                all.extend_from_slice(chunk);
                Ok(())
            }
            Self::File { file, .. } => file.write_all(chunk).await,
        }
    }

    /// Ends the message `number`; gives the content or where it is.
    pub(crate) async fn end(self, number: u64) -> io::Result<(Option<Bytes>, Option<PathBuf>)> {
        match self {
            Self::Counted => Ok((None, None)),
            Self::Memory(all) => Ok((Some(all.freeze()), None)),
            Self::File { mut file, path } => {
                file.flush().await?;
                let whole = path.with_file_name(format!("{number}.eml"));
                fs::rename(&path, &whole).await?;
                Ok((None, Some(whole)))
            }
        }
    }

    /// Drops what came so far.
    pub(crate) async fn abandon(self) {
        if let Self::File { path, .. } = self {
            // Should it stay, it is a hidden file that the next connection of that number overwrites.
            fs::remove_file(path).await.ok();
        }
    }
}

/// The largest number among the messages that are in `folder`.
pub(crate) fn number_last(folder: &Path) -> io::Result<u64> {
    let mut last = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "eml") {
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            last = last.max(number.unwrap_or(0));
        }
    }
    Ok(last)
}
