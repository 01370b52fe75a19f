//! What identifies a person stays in the orders table.

use super::*;
use std::{
    io,
    sync::{Arc, Mutex},
};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);
impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl MakeWriter<'_> for Lines {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

const PRIVATE: [&str; 7] = ["Lovelace", "ada@", "St James", "Babbage", "London", "SW1Y", "192.0.2.7"];

#[tokio::test]
async fn no_name_or_address_is_logged_published_answered_or_debugged() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE).with_writer(lines.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let world = World::new();
    let mut answers = vec![
        world.place(KEY, &order()).await,
        world.place(KEY, &with("/lines/0/quantity", json!(3))).await,
        world.place(OTHER_KEY, &with("/customer", json!("Ada Lovelace, ada@example.com"))).await,
        world.place(OTHER_KEY, &with("/customer/email", json!("Ada Lovelace"))).await,
        world.place(OTHER_KEY, &with("/currency", json!("Lovelace"))).await,
        world.place(OTHER_KEY, &with("/lines/0/sku", json!("Lovelace"))).await,
        world.cancel(ORDER).await,
        world.cancel("Lovelace").await,
    ];
    world.topic_refuses.set(Some("Throttling"));
    answers.push(world.place(OTHER_KEY, &order()).await);
    world.table_refuses.set(Some("ThrottlingException"));
    answers.push(world.place(OTHER_KEY, &order()).await);
    drop(guard);

    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.lines().count(), answers.len(), "one line per request: {log}");
    let published = format!("{:?}", world.published.borrow());
    let wanted = PlaceOrder::parse(&lambda_kit::http::Document::parse(order().to_string().as_bytes()).unwrap()).unwrap();
    let debugged = format!("{:?} {wanted:?} {answers:?}", world.orders.borrow());
    for private in PRIVATE {
        assert!(!log.contains(private), "{private}: {log}");
        assert!(!published.contains(private), "{private}: {published}");
        assert!(!debugged.contains(private), "{private}: {debugged}");
        for answer in &answers {
            assert!(!answer.body().contains(private), "{private}: {}", answer.body());
        }
    }
}
