//! A whole queue consumer: reads a message, does its work, publishes what follows.
//!
//! Build it like any Lambda function (`cargo lambda build --example consumer --features batch,sns`), give it the variables
//! `QUEUE_URL`, `DEAD_LETTER_QUEUE_URL` and `TOPIC_ARN`, and an event source mapping with `ReportBatchItemFailures`.

use lambda_kit::{
    Failure, Real,
    batch::{self, Consumer, SqsQueue},
    config::Env,
    message::{Delivery, Handled, Incoming, Outgoing},
    publish::SnsTopic,
    telemetry,
};
use serde::Deserialize;

/// The message in the queue: a picture was uploaded.
#[derive(Debug, Deserialize)]
struct Upload {
    key: String,
    bytes: u64,
}

/// The largest picture that is worth a thumbnail.
const BYTES_MAX: u64 = 50_000_000;

struct Thumbnails;

impl Consumer for Thumbnails {
    type Message = Upload;

    fn read(&self, body: &str) -> Result<Incoming<Upload>, Failure> {
        // The error is not quoted: it may hold parts of the body, and reasons are read by many.
        let upload: Upload = serde_json::from_str(body).map_err(|_| Failure::permanent("NotAnUpload", "the body is no upload"))?;
        Ok(Incoming { event_id: upload.key.clone(), subject: upload.key.clone(), traceparent: None, contends_for: vec![], message: upload })
    }

    async fn handle(&self, upload: &Upload, _: &Delivery) -> Result<Handled, Failure> {
        if upload.bytes > BYTES_MAX {
            return Err(Failure::permanent("TooLarge", format_args!("{} bytes are more than {BYTES_MAX}", upload.bytes)));
        }
        // Here the work would be done, and its result stored, before anything is said about it.
        let made = Outgoing {
            group_id: upload.key.clone(),
            deduplication_id: format!("{}/made", upload.key),
            body: serde_json::json!({"key": upload.key}).to_string(),
            attributes: vec![("type", "thumbnail.made".into())],
        };
        Ok(Handled { publish: vec![made], look_again_after: None })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_kit::Error> {
    telemetry::init();
    let aws = lambda_kit::aws_config();
    let mut env = Env::process();
    let queue = SqsQueue::from_env(&mut env, &aws);
    let topic = SnsTopic::from_env("TOPIC_ARN", &mut env, &aws);
    env.finish()?;
    lambda_kit::warm_up([topic.opening()]).await;
    batch::run(Thumbnails, topic, queue, Real).await
}
