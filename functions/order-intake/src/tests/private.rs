//! What identifies a person stays in the orders table.

use super::*;
use testkit::log::logged;

const PRIVATE: [&str; 7] = ["Lovelace", "ada@", "St James", "Babbage", "London", "SW1Y", "192.0.2.7"];

#[tokio::test]
async fn no_name_or_address_is_logged_published_answered_or_debugged() {
    let world = World::new();
    let (answers, log) = logged(async {
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
        answers
    })
    .await;
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
