//! The schemas of `events/schemas/` and the Rust types say the same.
//!
//! Producers are held to the schema by what the types can produce, consumers by what they refuse. A schema may be
//! tighter than the types where a value is concerned (a quantity of 0 parses, and no stage produces it), never in which
//! fields there are, which of them must be there, and of which kind they are.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as these tests expect fails them, helpers included")]

use domain::{
    CloudEvent, CustomerId, Event, EventType, Item, Line, Money, OrderId, Sku, Subject, Timestamp,
    event::{self, CancelReason, CancelRequest, PaymentRef},
    id::SKU_MAX_LEN,
    line::{LINES_MAX, QUANTITY_MAX},
    money::{AMOUNT_MINOR_MAX, Currency},
};
use jsonschema::{Registry, Validator};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    mem::discriminant,
    path::Path,
    sync::LazyLock,
};

/// The file that all others refer to; the one that is no event's.
const ENVELOPE: &str = "cloudevent";

/// Where the schemas pretend to live, so that the `cloudevent.json` beside them resolves without a network.
const BASE: &str = "https://schemas.invalid/";

/// Every file of `events/schemas/`, by its name without `.json`.
fn schemas() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/schemas");
    let read = |path: &Path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(&path))).collect()
}

/// A validator per schema, by the schema's name.
fn validators() -> BTreeMap<String, Validator> {
    let schemas = schemas();
    let uri = |name: &str| format!("{BASE}{name}.json");
    let all = schemas.iter().fold(Registry::new(), |registry, (name, schema)| registry.add(uri(name), schema.clone()).unwrap());
    let all = all.prepare().unwrap();
    let build = |name: &str| {
        let options = jsonschema::options().with_registry(&all).offline().should_validate_formats(true);
        options.build(&json!({ "$ref": uri(name) })).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    schemas.keys().map(|name| (name.clone(), build(name))).collect()
}

/// Every example of every schema, with the schema's name.
fn examples() -> Vec<(String, Value)> {
    let of = |(name, schema): (String, Value)| {
        let list = schema["examples"].as_array().cloned().unwrap_or_default();
        list.into_iter().map(move |example| (name.clone(), example))
    };
    schemas().into_iter().flat_map(of).collect()
}

// ── what the types can produce ──────────────────────────────────────────────────────────────────────────────────────

fn sku() -> impl Strategy<Value = Sku> {
    "[A-Z0-9][A-Z0-9._-]{0,63}".prop_map(|text| text.parse().unwrap())
}
fn items() -> impl Strategy<Value = Vec<Item>> {
    vec((sku(), 1..=QUANTITY_MAX).prop_map(|(sku, quantity)| Item { sku, quantity }), 1..=LINES_MAX)
}
fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = (sku(), 1..=QUANTITY_MAX, 0..=AMOUNT_MINOR_MAX);
    vec(line.prop_map(|(sku, quantity, unit_price_minor)| Line { sku, quantity, unit_price_minor }), 1..=LINES_MAX)
}
fn money() -> impl Strategy<Value = Money> {
    static CURRENCIES: LazyLock<Vec<Currency>> = LazyLock::new(|| {
        let capitals = || 'A'..='Z';
        let codes = capitals().flat_map(|a| capitals().flat_map(move |b| capitals().map(move |c| format!("{a}{b}{c}"))));
        codes.filter_map(|code| Currency::from_code(&code)).collect()
    });
    (0..=AMOUNT_MINOR_MAX, select(&**CURRENCIES)).prop_map(|(amount_minor, currency)| Money { amount_minor, currency })
}
fn timestamp() -> impl Strategy<Value = Timestamp> {
    // 2000 to 9999, in the whole milliseconds that are stored.
    (946_684_800_000..253_402_000_000_000_i64).prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
}
fn text() -> impl Strategy<Value = String> {
    "\\PC{1,40}"
}
fn payment() -> impl Strategy<Value = PaymentRef> {
    text().prop_map(PaymentRef)
}

/// Any data of this type. A `match`, so that an event without a line here does not compile.
fn data(event_type: EventType) -> BoxedStrategy<Event> {
    use CancelReason as R;
    match event_type {
        EventType::CustomerSignedUp => {
            any::<bool>().prop_map(|marketing_consent| event::CustomerSignedUp { marketing_consent }.into()).boxed()
        }
        EventType::OrderPlaced => (lines(), money(), text())
            .prop_map(|(lines, total, payment_method)| event::OrderPlaced { lines, total, payment_method }.into())
            .boxed(),
        EventType::PaymentAuthorized => (payment(), money(), timestamp())
            .prop_map(|(payment, amount, capture_before)| event::PaymentAuthorized { payment, amount, capture_before }.into())
            .boxed(),
        EventType::PaymentDeclined => text().prop_map(|code| event::PaymentDeclined { code }.into()).boxed(),
        EventType::InventoryReserved => items().prop_map(|items| event::InventoryReserved { items }.into()).boxed(),
        EventType::InventoryRejected => vec(sku(), 1..=LINES_MAX).prop_map(|short| event::InventoryRejected { short }.into()).boxed(),
        EventType::OrderCancelRequested => {
            let reasons = select(vec![CancelRequest::CustomerAsked, CancelRequest::TimedOut]);
            reasons.prop_map(|reason| event::OrderCancelRequested { reason }.into()).boxed()
        }
        EventType::OrderShipped => (text(), payment(), items())
            .prop_map(|(tracking_number, payment, items)| event::OrderShipped { tracking_number, payment, items }.into())
            .boxed(),
        EventType::OrderCancelled => {
            let reasons = vec![R::CustomerAsked, R::TimedOut, R::PaymentDeclined, R::OutOfStock, R::AuthorizationExpiring];
            (select(reasons), option::of(payment()), option::of(items()))
                .prop_map(|(reason, payment, items)| event::OrderCancelled { reason, payment, items }.into())
                .boxed()
        }
        EventType::PaymentCaptured => money().prop_map(|amount| event::PaymentCaptured { amount }.into()).boxed(),
        EventType::PaymentCaptureFailed => (money(), text(), option::of(payment()))
            .prop_map(|(amount, code, payment)| event::PaymentCaptureFailed { amount, code, payment }.into())
            .boxed(),
        EventType::PaymentVoided => Just(event::PaymentVoided {}.into()).boxed(),
        EventType::InventoryCommitted => items().prop_map(|items| event::InventoryCommitted { items }.into()).boxed(),
        EventType::InventoryReleased => Just(event::InventoryReleased {}.into()).boxed(),
    }
}

/// Any event of this type, in its envelope.
fn envelope(event_type: EventType) -> impl Strategy<Value = CloudEvent> {
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    let subject = uuid.prop_map(move |id| match event_type {
        EventType::CustomerSignedUp => Subject::Customer(id.parse::<CustomerId>().unwrap()),
        _ => Subject::Order(id.parse::<OrderId>().unwrap()),
    });
    let source = select(event_type.producers()).prop_map(|name| format!("/{name}"));
    let traceparent = option::of("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]");
    (source, subject, timestamp(), traceparent, data(event_type)).prop_map(|(source, subject, time, traceparent, event)| CloudEvent {
        source,
        subject,
        time,
        traceparent,
        event,
    })
}

/// A runner that takes the same path every time and leaves no file behind.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

// ── the facts ───────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn every_event_has_a_schema_and_every_schema_an_event() {
    let schemas = schemas();
    let expected: BTreeSet<_> = EventType::ALL.iter().map(|known| known.as_str()).chain([ENVELOPE]).collect();
    assert_eq!(schemas.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    for (name, schema) in &schemas {
        assert!(jsonschema::meta::is_valid(schema), "{name} is no JSON Schema");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        if name != ENVELOPE {
            assert_eq!(schema["title"], *name);
            assert_eq!(schema["properties"]["type"]["const"], *name);
            assert!(schema["examples"].as_array().is_some_and(|list| !list.is_empty()), "{name} has no example");
        }
    }
}

#[test]
fn every_event_that_the_types_can_produce_is_valid_and_parses_back() {
    let validators = validators();
    for event_type in EventType::ALL {
        let validator = &validators[event_type.as_str()];
        let outcome = runner(64).run(&envelope(*event_type), |produced| {
            let json: Value = serde_json::from_str(&produced.to_json()).unwrap();
            let faults: Vec<_> = validator.iter_errors(&json).map(|e| format!("{}: {e}", e.instance_path())).collect();
            prop_assert!(faults.is_empty(), "{faults:?}");
            prop_assert_eq!(CloudEvent::parse(&produced.to_json()), Ok(produced));
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("{event_type}: {e}"));
    }
}

#[test]
fn every_example_is_valid_and_the_types_write_it_back_unchanged() {
    let validators = validators();
    for (name, example) in examples() {
        validators[&name].validate(&example).unwrap_or_else(|e| panic!("{name}: {e}"));
        let parsed = CloudEvent::parse(&example.to_string()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(parsed.event.event_type().as_str(), name);
        assert_eq!(serde_json::from_str::<Value>(&parsed.to_json()).unwrap(), example, "{name}");
    }
}

#[test]
fn a_missing_field_is_refused_by_both_or_by_neither() {
    let validators = validators();
    for (name, example) in examples() {
        let mut refused = 0;
        for pointer in members(&example) {
            let without = removed(&example, &pointer);
            let parsed = CloudEvent::parse(&without.to_string());
            assert_eq!(validators[&name].is_valid(&without), parsed.is_ok(), "{name} without {pointer}: {parsed:?}");
            refused += usize::from(parsed.is_err());
        }
        assert!(refused >= 7, "{name}: seven fields of the envelope alone are required");
    }
}

#[test]
fn a_field_of_the_wrong_kind_is_refused_by_both() {
    let validators = validators();
    // serde also reads a list as the fields of a struct, in their order. No producer writes so; this list fits none.
    let list = json!([["unexpected"]]);
    let kinds = [Value::Null, json!(true), json!(1.5), json!("text"), list, json!({ "unexpected": true })];
    for (name, example) in examples() {
        for pointer in members(&example) {
            let right = example.pointer(&pointer).unwrap();
            // The JSON format of CloudEvents reads null as absent, and so does serde.
            let optional = validators[&name].is_valid(&removed(&example, &pointer));
            let wrong = kinds.iter().filter(|kind| discriminant(*kind) != discriminant(right) && !(optional && kind.is_null()));
            for kind in wrong {
                let mut changed = example.clone();
                *changed.pointer_mut(&pointer).unwrap() = kind.clone();
                assert!(!validators[&name].is_valid(&changed), "{name}: the schema takes {kind} at {pointer}");
                assert!(CloudEvent::parse(&changed.to_string()).is_err(), "{name}: the types take {kind} at {pointer}");
            }
        }
    }
}

#[test]
fn every_value_that_a_schema_lists_is_one_that_the_types_know() {
    let (schemas, mut listed) = (schemas(), 0);
    for (name, example) in examples() {
        for (field, property) in schemas[&name]["properties"]["data"]["properties"].as_object().into_iter().flatten() {
            for value in property["enum"].as_array().into_iter().flatten() {
                let mut changed = example.clone();
                changed["data"][field] = value.clone();
                assert!(CloudEvent::parse(&changed.to_string()).is_ok(), "{name}: the types refuse {value} as {field}");
                listed += 1;
            }
        }
    }
    assert!(listed > 0);
}

#[test]
fn a_field_that_is_added_later_is_ignored_by_both() {
    let validators = validators();
    for (name, example) in examples() {
        let everywhere = members(&example).into_iter().chain([String::new()]);
        for pointer in everywhere.filter(|pointer| example.pointer(pointer).unwrap().is_object()) {
            let mut later = example.clone();
            later.pointer_mut(&pointer).unwrap()["added_later"] = json!(1);
            assert!(validators[&name].is_valid(&later), "{name}: the schema is closed at {pointer:?}");
            assert_eq!(CloudEvent::parse(&later.to_string()), CloudEvent::parse(&example.to_string()), "{name} at {pointer:?}");
        }
    }
}

#[test]
fn a_schema_describes_exactly_the_fields_of_its_type() {
    let schemas = schemas();
    for event_type in EventType::ALL {
        let (mut fields, mut properties, mut runner) = (Fields::new(), Fields::new(), runner(1));
        for _ in 0..64 {
            let produced = envelope(*event_type).new_tree(&mut runner).unwrap().current();
            fields_of(&serde_json::from_str(&produced.to_json()).unwrap(), "", &mut fields);
        }
        properties_of(&schemas, event_type.as_str(), &schemas[event_type.as_str()], "", &mut properties);
        assert_eq!(properties, fields, "{event_type}");
    }
}

#[test]
fn the_limits_of_the_schemas_are_those_of_the_domain() {
    let schemas = schemas();
    let shared = &schemas[ENVELOPE]["$defs"];
    assert_eq!(shared["quantity"]["maximum"], QUANTITY_MAX);
    assert_eq!(shared["amount_minor"]["maximum"], AMOUNT_MINOR_MAX);
    assert_eq!(shared["items"]["maxItems"], LINES_MAX);
    assert_eq!(schemas["order.placed.v1"]["properties"]["data"]["properties"]["lines"]["maxItems"], LINES_MAX);
    assert_eq!(schemas["inventory.rejected.v1"]["properties"]["data"]["properties"]["short"]["maxItems"], LINES_MAX);

    let agree = |definition: &str, text: &str, parses: bool| {
        let validator = jsonschema::options().offline().build(&shared[definition]).unwrap();
        assert_eq!(validator.is_valid(&json!(text)), parses, "{definition}: {text:?}");
    };
    let (longest, too_long) = ("A".repeat(SKU_MAX_LEN), "A".repeat(SKU_MAX_LEN + 1));
    for text in ["A", "MUG-BLUE", "4006381333931", "A.B_C", "", "-A", "mug", "A B", "A\n", "Ä", &longest, &too_long] {
        agree("sku", text, text.parse::<Sku>().is_ok());
    }
    let id = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";
    for text in [id, &id.to_uppercase(), &id.replace('-', ""), &format!("{{{id}}}"), &format!("{id}\n"), "", "order-1"] {
        agree("order_id", text, text.parse::<OrderId>().is_ok());
        agree("customer_id", text, text.parse::<CustomerId>().is_ok());
    }
}

#[test]
fn no_event_carries_a_name_or_an_address() {
    /// Words by which a field about a person or a place would be called.
    const PERSONAL: &[&str] = &[
        "name",
        "firstname",
        "lastname",
        "surname",
        "customer",
        "person",
        "recipient",
        "email",
        "mail",
        "phone",
        "address",
        "street",
        "line1",
        "line2",
        "city",
        "town",
        "postal",
        "postcode",
        "zip",
        "country",
        "region",
        "birth",
        "birthday",
        "ip",
        "card",
        "iban",
    ];
    for (name, schema) in schemas() {
        let declared = members(&schema).into_iter().filter(|pointer| pointer.contains("/properties/"));
        let used = schema["examples"].as_array().into_iter().flatten().flat_map(members);
        let names: Vec<_> = declared.chain(used).map(|pointer| pointer.rsplit_once('/').unwrap().1.to_lowercase()).collect();
        assert!(!names.is_empty(), "{name}");
        let personal: Vec<_> = names.iter().filter(|key| key.split(['_', '-']).any(|word| PERSONAL.contains(&word))).collect();
        assert!(personal.is_empty(), "{name}: {personal:?}");
    }
}

// ── walking JSON ────────────────────────────────────────────────────────────────────────────────────────────────────

/// JSON pointers to every member of every object inside.
fn members(value: &Value) -> Vec<String> {
    let below = |key: &str, inner: &Value| members(inner).into_iter().map(|rest| format!("/{key}{rest}")).collect::<Vec<_>>();
    match value {
        Value::Object(map) => map.iter().flat_map(|(key, inner)| [vec![format!("/{key}")], below(key, inner)].concat()).collect(),
        Value::Array(list) => list.iter().enumerate().flat_map(|(index, inner)| below(&index.to_string(), inner)).collect(),
        _ => Vec::new(),
    }
}

/// `value` without the member at `pointer`.
fn removed(value: &Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let mut without = value.clone();
    without.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    without
}

/// The names of the members of each object, by where the object stands; `[]` for the elements of a list.
type Fields = BTreeMap<String, BTreeSet<String>>;

fn fields_of(value: &Value, at: &str, found: &mut Fields) {
    match value {
        Value::Object(map) => {
            found.entry(at.to_owned()).or_default().extend(map.keys().cloned());
            map.iter().for_each(|(key, inner)| fields_of(inner, &format!("{at}/{key}"), found));
        }
        Value::Array(list) => list.iter().for_each(|inner| fields_of(inner, &format!("{at}[]"), found)),
        _ => {}
    }
}

/// The same of a schema, through its `$ref`s. Returns whether it is described; a property that is not fails here.
fn properties_of(schemas: &BTreeMap<String, Value>, file: &str, schema: &Value, at: &str, found: &mut Fields) -> bool {
    let mut described = schema["description"].is_string();
    if let Some(reference) = schema["$ref"].as_str() {
        let (other, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let other = other.strip_suffix(".json").unwrap_or(file);
        described |= properties_of(schemas, other, schemas[other].pointer(pointer).unwrap(), at, found);
    }
    if schema["type"] == "object" {
        found.entry(at.to_owned()).or_default();
    }
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        // The envelope's properties come first, described; an event's schema narrows some of them.
        let narrows = !found.entry(at.to_owned()).or_default().insert(key.clone());
        let inner_described = properties_of(schemas, file, inner, &format!("{at}/{key}"), found);
        assert!(narrows || inner_described, "{file}: nothing describes {at}/{key}");
    }
    if schema["items"].is_object() {
        properties_of(schemas, file, &schema["items"], &format!("{at}[]"), found);
    }
    described
}
