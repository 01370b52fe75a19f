//! What is known of the deployment before anything is deployed: its template, read.

pub mod template;
