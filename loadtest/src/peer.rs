//! Relays that the load test can start by itself: one small file each (`loadtest/peers`).

mod guard;
mod render;
pub(crate) mod running;
pub(crate) mod values;
pub(crate) mod version;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

/// A relay, and how it is set up, started and stopped. `loadtest/peers/README.md` says what the texts may hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    /// Short, as it is typed.
    pub(crate) name: String,
    pub(crate) about: String,
    /// What it has done with a message before it says 250.
    pub(crate) durability: String,
    /// Debian packages that bring it.
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    /// What to do where it is missing, if that is not the installation of packages.
    #[serde(default)]
    pub(crate) install: String,
    /// The program by which it is found; a path is one below the folder that `fetch` fills.
    pub(crate) program: String,
    /// A command that brings it into a folder beside the load test, where packages would be in the way of others.
    #[serde(default)]
    pub(crate) fetch: String,
    /// Whether only root can start it.
    #[serde(default)]
    pub(crate) needs_root: bool,
    /// A command that prints its version.
    pub(crate) version: String,
    /// A command to run once its files are written.
    #[serde(default)]
    pub(crate) setup: String,
    /// The command that becomes its main process.
    pub(crate) start: String,
    /// A command that stops it; without one its processes get SIGTERM.
    #[serde(default)]
    pub(crate) stop: String,
    /// Where it writes the number of its main process, if that is not the one that was started.
    #[serde(default)]
    pub(crate) pid_file: String,
    #[serde(default, rename = "file")]
    pub(crate) files: Vec<File>,
    /// The text for `{tls_in}`, by what the load speaks: `off`, `starttls` or `implicit`.
    #[serde(default)]
    pub(crate) tls_in: BTreeMap<String, String>,
    /// The text for `{tls_out}`: `off` or `starttls`.
    #[serde(default)]
    pub(crate) tls_out: BTreeMap<String, String>,
    /// The text that `{routes}` holds once for each next hop of its own: `{class}`, `{host}` and `{port}`.
    #[serde(default)]
    pub(crate) route: String,
}

/// A file that the relay reads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Below the relay's folder.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A relay as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// What it is called in reports.
    pub(crate) label: String,
    pub(crate) peer: Peer,
    /// The program, where it was found or was said to be; none where it is missing.
    pub(crate) program: Option<PathBuf>,
}

/// Where programs are looked for, behind the folder of our own.
const PROGRAM_FOLDERS: [&str; 6] =
    ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"];

impl Peer {
    /// File name and text of each relay that comes with the program.
    pub(crate) fn shipped() -> &'static [(&'static str, &'static str)] {
        &[
            ("chasqui", include_str!("../peers/chasqui.toml")),
            ("postfix", include_str!("../peers/postfix.toml")),
            ("exim", include_str!("../peers/exim.toml")),
        ]
    }

    /// The relay of that name, or the one that the file of that name describes.
    ///
    /// # Errors
    /// If there is none, or if it is described wrongly.
    pub(crate) fn find(name: &str) -> anyhow::Result<Self> {
        let is_file = Path::new(name).extension().is_some_and(|extension| extension == "toml");
        if is_file {
            let text = std::fs::read_to_string(name)
                .with_context(|| format!("the relay's file {name} cannot be read"))?;
            return Self::parse(&text, name);
        }
        let shipped = Self::shipped().iter().find(|(shipped, _)| *shipped == name);
        let Some((_, text)) = shipped else {
            let names: Vec<_> = Self::shipped().iter().map(|(name, _)| *name).collect();
            bail!(
                "no relay `{name}` is known: take one of {}, or the path of a file that ends in .toml",
                names.join(", ")
            )
        };
        Self::parse(text, name)
    }

    fn parse(text: &str, origin: &str) -> anyhow::Result<Self> {
        toml::from_str(text).with_context(|| format!("the relay's file {origin} is wrong"))
    }

    fn program(&self) -> Option<PathBuf> {
        let folders = if self.program.contains('/') {
            vec![self.fetched()]
        } else {
            own_folder().into_iter().chain(PROGRAM_FOLDERS.map(PathBuf::from)).collect()
        };
        folders.iter().map(|folder| folder.join(&self.program)).find(|path| path.is_file())
    }

    /// The folder that `fetch` fills.
    pub(crate) fn fetched(&self) -> PathBuf {
        own_folder().unwrap_or_default().join("loadtest-peers").join(&self.name)
    }
}

/// Where this program lies.
fn own_folder() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.to_owned())
}

impl Chosen {
    /// Understands `NAME`, `FILE.toml`, `NAME@PROGRAM` and `LABEL=NAME@PROGRAM`.
    ///
    /// # Errors
    /// If there is no such relay, or no such program where one is named.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (label, rest) =
            text.split_once('=').map_or((None, text), |(label, rest)| (Some(label), rest));
        let (name, program) =
            rest.split_once('@').map_or((rest, None), |(name, program)| (name, Some(program)));
        let peer = Peer::find(name)?;
        let label = label.unwrap_or(&peer.name).to_owned();
        let program = match program {
            Some(program) => {
                let path = Path::new(program);
                let path = path.canonicalize().with_context(|| {
                    format!("there is no program {program} (behind the @ of `{text}`)")
                })?;
                Some(path)
            }
            None => peer.program(),
        };
        Ok(Self { label, peer, program })
    }

    /// Why it cannot run here and what to do; none where it can.
    pub(crate) fn obstacle(&self) -> Option<String> {
        let Peer { name, packages, install, fetch, .. } = &self.peer;
        if self.program.is_none() {
            let what = match (install.is_empty(), fetch.is_empty()) {
                (false, _) => install.clone(),
                (true, true) => format!("apt-get install {}", packages.join(" ")),
                (true, false) => format!("chasqui-loadtest fetch {name}"),
            };
            return Some(format!("{name} is not on this machine: {what}"));
        }
        let is_root = rustix::process::geteuid().is_root();
        let what = || format!("{name} needs root to start: run this as root");
        (self.peer.needs_root && !is_root).then(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_relays_are_well_formed() {
        for (name, text) in Peer::shipped() {
            let peer = Peer::parse(text, name).unwrap();
            assert_eq!(peer.name, *name);
            assert!(!peer.durability.is_empty() && !peer.about.is_empty());
            let ways = [peer.packages.concat(), peer.install, peer.fetch];
            assert_eq!(ways.iter().filter(|way| !way.is_empty()).count(), 1, "{name}: {ways:?}");
        }
    }

    #[test]
    fn a_relay_that_is_not_there_says_what_to_do() {
        let mut chosen = Chosen::parse("postfix").unwrap();
        chosen.program = None;
        assert_eq!(
            chosen.obstacle().unwrap(),
            "postfix is not on this machine: apt-get install postfix"
        );
        let error = Chosen::parse("sendmail").unwrap_err().to_string();
        assert_eq!(
            error,
            "no relay `sendmail` is known: take one of chasqui, postfix, exim, or the path of a file that ends in .toml"
        );
    }

    #[test]
    fn another_build_gets_a_name_of_its_own() {
        let chosen = Chosen::parse("before=chasqui@/bin/sh").unwrap();
        assert_eq!((chosen.label.as_str(), chosen.peer.name.as_str()), ("before", "chasqui"));
        assert!(chosen.obstacle().is_none());
        let error = Chosen::parse("chasqui@/nowhere/chasqui").unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no program /nowhere/chasqui (behind the @ of `chasqui@/nowhere/chasqui`)"
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = "name = 'x'\nabout = ''\ndurability = ''\nprogram = 'x'\nversion = ''\nstart = ''\nstrat = ''";
        let error = format!("{:#}", Peer::parse(text, "x.toml").unwrap_err());
        assert!(error.contains("x.toml is wrong") && error.contains("strat"), "{error}");
    }
}
