//! The sample invocation events, for the tests of the functions that they invoke.
#![allow(clippy::unwrap_used, reason = "what is not as the tests expect fails them, helpers included")]

use lambda_kit::{batch::Consumer, message::Delivery};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

/// Every sample of a function, `events/<function>/<name>.json`, by its name.
pub fn of(function: &str) -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events").join(function);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: &Path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    paths.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(&path))).collect()
}

/// Hands each record of `sample` to `consumer`, one after the other; returns what became of each: nothing, or the type of
/// its error.
pub async fn fates(consumer: &impl Consumer, sample: &Value) -> Vec<Result<(), String>> {
    let mut fates = Vec::new();
    for record in sample["Records"].as_array().unwrap() {
        let delivery = Delivery { message_id: record["messageId"].as_str().unwrap().to_owned(), attempt: 1, ..Delivery::default() };
        let fate = match consumer.read(record["body"].as_str().unwrap()) {
            Ok(incoming) => consumer.handle(&incoming.message, &delivery).await.map(drop),
            Err(failure) => Err(failure),
        };
        fates.push(fate.map_err(|failure| failure.error_type));
    }
    fates
}
