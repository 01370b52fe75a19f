//! What the end-to-end tests share: the deployment's template, read before anything is deployed, and a mail that comes in.

pub mod inbound;
pub mod template;
