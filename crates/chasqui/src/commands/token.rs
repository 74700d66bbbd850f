//! `chasqui token`.

use std::path::Path;

use anyhow::Context;

use crate::arguments::{Role, Token, TokenNew};
use crate::failure::Result;
use crate::{output, private_file};

/// Does it.
pub(crate) fn run(token: &Token) -> Result {
    let Token::New(new) = token;
    make(new)
}

fn make(new: &TokenNew) -> Result {
    let (token, hash) = admin::new_token().context("no token can be made")?;
    let file = new.hash_file.display();
    let folder = new.hash_file.parent().filter(|it| !it.as_os_str().is_empty());
    private_file::write(&new.hash_file, &format!("{hash}\n"), folder.unwrap_or(Path::new(".")))
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
