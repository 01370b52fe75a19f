//! Customers who do what is planned, and who do what every client should: no answer, or one that says nothing, is asked again
//! under the same key. An order counts as accepted by its 202 alone; everything is judged by what was accepted here.

use crate::chaos::Tally;
use crate::chaos::plan::{Planned, Twist};
use anyhow::{Context, Result, bail, ensure};
use std::rc::Rc;
use std::time::{Duration, Instant};
use testkit::engine::HttpAnswer;
use testkit::shop;
use testkit::stack::Stack;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

/// How long a customer waits before asking again, doubled up to the most: a person's impatience, not a hammer.
const ASK_AGAIN: Duration = Duration::from_millis(200);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(2);

/// Requests in flight at once. The engine starts a process for each that finds none idle, and more than a few at a time only
/// slow each other down on a small machine.
const AT_ONCE: usize = 16;

/// An order that was answered with 202.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub order_id: String,
    pub planned: Planned,
}

/// Sends in the customers one after the other and waits until each has been served, which fails after `deadline`.
pub async fn serve(stack: &Stack, plan: Vec<Planned>, tally: &Rc<Tally>, deadline: Instant) -> Result<Vec<Accepted>> {
    let serving = async {
        let (mut customers, turns) = (JoinSet::new(), Rc::new(Semaphore::new(AT_ONCE)));
        for planned in plan {
            tokio::time::sleep(planned.pause).await;
            customers
                .spawn_local(shop_for(Shop { stack: stack.clone(), turns: Rc::clone(&turns), tally: Rc::clone(tally), deadline }, planned));
        }
        let mut accepted = Vec::new();
        while let Some(served) = customers.join_next().await {
            accepted.push(served.context("a customer's task was cancelled")??);
        }
        Ok(accepted)
    };
    LocalSet::new().run_until(serving).await
}

/// The shop as one customer meets it.
struct Shop {
    stack: Stack,
    turns: Rc<Semaphore>,
    tally: Rc<Tally>,
    deadline: Instant,
}

impl Shop {
    async fn ask(&self, request: impl AsyncFn() -> Result<HttpAnswer>) -> Result<HttpAnswer> {
        let in_turn = async || {
            let turn = self.turns.acquire().await?;
            let answer = request().await;
            drop(turn);
            answer
        };
        persist(&self.tally, self.deadline, in_turn).await
    }

    async fn place(&self, planned: &Planned) -> Result<String> {
        let body = shop::order_with(&planned.key, &planned.lines, planned.payment_method);
        let answer = self.ask(async || self.stack.post_order(&planned.key, &body).await).await?;
        ensure!(answer.status == 202, "POST /orders was answered with {}: {}", answer.status, answer.body);
        let accepted = answer.json()?;
        ensure!(
            accepted["total"]["amount_minor"] == planned.total_minor(),
            "the total is not the sum of the catalogue's prices: {accepted}"
        );
        Ok(accepted["order_id"].as_str().context("a 202 without an order_id")?.to_owned())
    }
}

async fn shop_for(shop: Shop, planned: Planned) -> Result<Accepted> {
    let order_id = if planned.twist == Twist::SendsTwice {
        let (one, other) = tokio::try_join!(shop.place(&planned), shop.place(&planned))?;
        ensure!(one == other, "one key, sent twice, became two orders: {one} and {other}");
        one
    } else {
        shop.place(&planned).await?
    };
    shop.tally.accepted();
    let seen = shop.ask(async || shop.stack.look(&order_id).await).await?;
    ensure!(seen.status == 200, "{order_id} was accepted, and then GET was answered with {}: {}", seen.status, seen.body);
    if let Twist::Cancels(after) = planned.twist {
        tokio::time::sleep(after).await;
        let answer = shop.ask(async || shop.stack.cancel(&order_id).await).await?;
        // 409: it has shipped already.
        ensure!(matches!(answer.status, 202 | 409), "cancelling {order_id} was answered with {}: {}", answer.status, answer.body);
    }
    Ok(Accepted { order_id, planned })
}

/// Asks until there is an answer that says something: a 5xx, a throttled call or a cut connection mean that nothing is known.
pub async fn persist(tally: &Tally, deadline: Instant, ask: impl AsyncFn() -> Result<HttpAnswer>) -> Result<HttpAnswer> {
    let mut pause = ASK_AGAIN;
    loop {
        let why = match ask().await {
            Ok(answer) if answer.status < 500 && answer.status != 429 => return Ok(answer),
            Ok(answer) => format!("the last answer was {}: {}", answer.status, answer.body),
            Err(error) => format!("the last call failed: {error:#}"),
        };
        if Instant::now() > deadline {
            bail!("a customer stopped asking, although asking again should help: {why}");
        }
        tally.asked_again();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ASK_AGAIN_MAX);
    }
}
