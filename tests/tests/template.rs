//! The rules of the deployment, on the template that is deployed and on copies broken on purpose.
//!
//! A rule that cannot fail is worth nothing: each is seen to complain here. Needs no stack and no account.

use anyhow::{Context as _, Result};
use end_to_end::template::{
    Complaints, RULES, Template, access, operations, queues,
    queues::{Use, use_of},
    workspace_root,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Fails unless the rule accepts the template as it is and complains of `place` in the broken copy.
#[track_caller]
fn complains(rule: fn(&Template) -> Complaints, broken: &Template, place: &str) -> Result<()> {
    let real = rule(&Template::read()?);
    assert!(real.is_empty(), "{real:#?}");
    let found = rule(broken);
    assert!(found.iter().any(|complaint| complaint.contains(place)), "no complaint names {place}: {found:#?}");
    Ok(())
}

fn with(path: &str, value: Value) -> Result<Template> {
    Template::read()?.with(path, value)
}

fn without(path: &str) -> Result<Template> {
    Template::read()?.without(path)
}

#[test]
fn the_template_keeps_every_rule() -> Result<()> {
    let template = Template::read()?;
    let complaints: Complaints = RULES.iter().flat_map(|rule| rule(&template)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

#[test]
fn the_template_has_the_queues_and_functions_that_the_rules_are_about() -> Result<()> {
    let template = Template::read()?;
    let count = |wanted| template.queues().filter(|queue| use_of(&template, queue) == Some(wanted)).count();
    assert_eq!((count(Use::Source), count(Use::DeadLetters), count(Use::ForPeople)), (5, 6, 1));
    assert_eq!((template.functions().count(), template.sources().count(), template.subscriptions().count()), (7, 5, 6));
    Ok(())
}

/// Takes every property of every resource out, one at a time: a rule must miss it, or it is one of those that follow
/// AWS's default or local taste. So no rule can sleep, and no property can be added that nothing holds in place.
#[test]
fn no_property_can_be_taken_out_unnoticed() -> Result<()> {
    let free = [
        "/MemorySize",                   // Globals say a fitting one
        "/DefaultRouteSettings/",        // whole settings are missed, see the rule on APIs
        "/Properties/ApiId",
    ];
    let template = Template::read()?;
    let mut unnoticed = BTreeSet::new();
    for (id, resource) in template.section("Resources") {
        for path in paths(resource, &format!("/Resources/{id}")) {
            let broken = template.without(&path)?;
            if RULES.iter().all(|rule| rule(&broken).is_empty()) && !free.iter().any(|it| path.contains(it)) {
                unnoticed.insert(path);
            }
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
    Ok(())
}

/// JSON pointers to everything below a value.
fn paths(value: &Value, prefix: &str) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, child)| (key.replace('~', "~0").replace('/', "~1"), child)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        _ => vec![],
    };
    let below = children.into_iter().flat_map(|(key, child)| {
        let path = format!("{prefix}/{key}");
        [vec![path.clone()], paths(child, &path)].concat()
    });
    below.collect()
}
