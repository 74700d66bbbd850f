//! `chasqui token`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;

use crate::arguments::{Role, Token, TokenNew};
use crate::failure::Result;
use crate::output;

/// Does it.
pub(crate) fn run(token: &Token) -> Result {
    let Token::New(new) = token;
    make(new)
}

fn make(new: &TokenNew) -> Result {
    let (token, hash) = admin::new_token().context("no token can be made")?;
    let file = new.hash_file.display();
    let mut options = OpenOptions::new();
    let mut out = options
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&new.hash_file)
        .with_context(|| format!("the hash file {file} cannot be made"))?;
    out.write_all(format!("{hash}\n").as_bytes())
        .and_then(|()| out.sync_all())
        .with_context(|| format!("the hash file {file} cannot be written"))?;
    let role = match new.role {
        Role::Viewer => "viewer",
        Role::Admin => "admin",
    };
    let path = std::path::absolute(&new.hash_file).unwrap_or_else(|_| new.hash_file.clone());
    output::note(format!(
        "The token is on standard output and nowhere else. Put into the settings, and restart the relay:\n\n\
         [[admin.token]]\nname = \"{}\"\nrole = \"{role}\"\nhash_file = \"{}\"\n",
        new.name,
        path.display()
    ));
    output::line(token)
}
