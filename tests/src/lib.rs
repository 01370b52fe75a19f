//! What the end-to-end tests share: the deployment's template, read before anything is deployed, an ear at a topic, and a mail
//! that comes in.

pub mod ear;
pub mod inbound;
pub mod template;
