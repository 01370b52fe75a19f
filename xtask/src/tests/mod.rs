//! What the pages and the dev container say of the commands.

mod dev_container;
mod docs_commands;
