//! A path through the world as a story: one line for each step, who did what, what was stored, what was published.
//!
//! The report of a broken promise is made of it. It does not leave a step out: the first line that is wrong is the point.

use super::{
    bank::{Request, Status, Verb},
    rows::{Call, Record, Row},
    stages::{Heard, Message, Reply, SentEvent},
    world::{Action, State, TraceStep, Turn, Twin, World},
};
use crate::model::interned::Interned;
use domain::{Subject, inventory, payment};
use std::fmt::Write as _;

/// The story of `path`, and how it stands at its end.
pub fn tell(world: &World, path: Vec<(State, Option<Action>)>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last = None;
    for (state, action) in path {
        if let Some(action) = action {
            let mut line = opening(world, &state, action);
            world.go(&state, action, &mut |told| {
                if write!(line, "{}", shown(told)).is_err() {
                    line.push('…');
                }
            });
            lines.push(format!("{:>2}. {line}", lines.len() + 1));
        }
        last = Some(state);
    }
    lines.extend(last.iter().flat_map(|state| standing(world, state)));
    lines
}

fn opening(world: &World, state: &State, action: Action) -> String {
    match action {
        Action::Deliver { message, late, after_crash, twin, turn } => {
            let mut line = format!("{} receives {}", message.to.name(), about(world, message));
            for (holds, what) in [
                (late, ", late"),
                (message.again, ", again"),
                (after_crash, ", again: its process had died before it did anything"),
                (twin == Twin::Same, ", one of two copies of this delivery"),
                (twin == Twin::Other, ", and there is a second message of it"),
                (twin == Twin::Again, ", and will receive it again"),
            ] {
                line.push_str(if holds { what } else { "" });
            }
            line + turned(turn)
        }
        Action::Step(process, turn) => {
            format!("{}, with {},{}", process.process.message.to.name(), about(world, process.process.message), turned(turn))
        }
        Action::Forget => "the provider forgets its idempotency keys".to_owned(),
        Action::Lapse(place) => {
            let held = state.intents[place].is_some_and(|intent| intent.status == Status::Held);
            format!("the hold pi_{place}{} lapses", if held { "" } else { ", which holds nothing," })
        }
        Action::Pass => format!("time passes, the {}. time", state.time + 1),
    }
}

fn turned(turn: Turn) -> &'static str {
    match turn {
        Turn::Well | Turn::Dies | Turn::DiesAfterPublishing => "",
        Turn::Unheard => " (the answer will be lost)",
        Turn::Refuses => " (this try will be refused)",
    }
}

fn about(world: &World, message: Message) -> String {
    let Subject::Order(id) = message.sent.event.subject else { return message.sent.event.id() };
    let n = world.ids.iter().position(|known| *known == id).unwrap_or_default();
    format!("{}{}", message.sent.event.event.event_type().stem(), name(world, n))
}

/// Which order, where there are two.
fn name(world: &World, n: usize) -> String {
    if world.ids.len() > 1 { format!(" (order {})", n + 1) } else { String::new() }
}

fn shown(told: TraceStep) -> String {
    match told {
        TraceStep::Calls(call, before, after) => {
            let call = match call {
                Call::Get(table, _) => format!("reads {table}"),
                Call::Put(put) => format!("puts {}", put.table_name()),
                Call::Update(update, _) => format!("updates {}", update.table_name()),
                Call::Transact(_) => "writes reservation and stock".to_owned(),
            };
            let what = if before == after { format!("finds {}", read(before)) } else { format!("{} → {}", read(before), read(after)) };
            format!(" — {call}: {what}")
        }
        TraceStep::Asks(request, answer, remembered) => asked(request, answer, remembered),
        TraceStep::Publishes(sent) => format!(" — publishes {}", published(sent)),
        TraceStep::Died => " — AND DIES".to_owned(),
        TraceStep::Waits => " — waits for its next try".to_owned(),
        TraceStep::Fails(failure) => format!(" — FAILS, {:?}: {failure}", failure.kind),
    }
}

fn asked(request: &Request, answer: Interned<Heard>, remembered: bool) -> String {
    let place = request.intent.map_or_else(String::new, |place| format!(" pi_{place}"));
    let verb = match request.verb {
        Verb::Look => "looks at",
        Verb::Create => "creates",
        Verb::Confirm => "confirms",
        Verb::Capture => "captures",
        Verb::Cancel => "cancels",
    };
    let said = match &answer.what {
        Reply::Bank(said) => {
            let body = serde_json::from_str::<serde_json::Value>(&said.body).unwrap_or_default();
            let word = |pointer| body.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
            format!("{} {}{}", said.status, [word("/id"), word("/status")].join(" ").trim(), word("/error/code"))
        }
        other => format!("{other:?}"),
    };
    format!(" — {verb}{place} at the provider: {}{}", said.trim(), if remembered { " (remembered by its key)" } else { "" })
}

fn published(sent: Interned<SentEvent>) -> String {
    let data = serde_json::to_value(&sent.event.event).unwrap_or_default();
    let detail = ["payment", "reason", "code"].iter().find_map(|name| data.get(name)?.as_str());
    format!("{}{}", sent.event.event.event_type().stem(), detail.map_or_else(String::new, |detail| format!(" ({detail})")))
}

fn read(row: Interned<Row>) -> String {
    match &row.record {
        Record::Nothing => "nothing".to_owned(),
        Record::Payment(state) => {
            let known = payment::Known::from(state);
            match &known {
                payment::Known::Claimed(payment) | payment::Known::Authorized(payment) => format!("{} ({payment})", known.name()),
                payment::Known::ClaimRefused(payment, refused) | payment::Known::CaptureRefused(payment, refused) => {
                    format!("{} ({payment}, refused for now {} times)", known.name(), refused.tries)
                }
                _ => known.name().to_owned(),
            }
        }
        Record::Reservation(state) => inventory::Known::from(state).name().to_owned(),
        Record::Shipment(shipment) => {
            let facts: Vec<_> = shipment.facts.iter().map(|fact| fact.fact.kind()).collect();
            format!("[{}]", facts.join(", "))
        }
        Record::Available(units) => format!("{units} available"),
        Record::Unreadable => format!("what nobody can read: {}", row.text),
    }
}

fn standing(world: &World, state: &State) -> Vec<String> {
    let mut lines = vec!["so that, in the end:".to_owned()];
    for (n, order) in state.orders.iter().enumerate() {
        let decided = [(order.shipped, "order.shipped"), (order.cancelled, "order.cancelled")];
        let decided: Vec<_> = decided.into_iter().filter_map(|(was, what)| was.then_some(what)).collect();
        lines.push(format!(
            "  payment {}, reservation {}, shipment {}, published {decided:?}, confirmed {}, captured {}{}",
            read(order.payment),
            read(order.reservation),
            read(order.shipment),
            order.confirmed,
            order.captured,
            name(world, n),
        ));
    }
    let book =
        state.intents.iter().enumerate().filter_map(|(place, intent)| Some(format!("pi_{place} {}", intent.as_ref()?.status.name())));
    lines.push(format!("  the provider: {}; stock: {}", book.collect::<Vec<_>>().join(", "), read(state.stock)));
    let waiting: Vec<_> = state.messages.iter().map(|message| format!("{} for {}", about(world, *message), message.to.name())).collect();
    lines.push(format!("  {} at work; in the queues: [{}]", state.processes.len(), waiting.join(", ")));
    lines.extend(state.fault.map(|fault| format!("  fault: {}", fault.value())));
    lines
}
