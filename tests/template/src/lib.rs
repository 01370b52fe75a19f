//! The deployment template, read so that its rules can be checked.
//!
//! `tests/template/tests/template.rs` calls it: it runs every rule in [`RULES`] over `template.yaml`, and over copies broken on
//! purpose, so that each rule is seen to complain. Nothing is resolved here: an intrinsic function stays what it is, and
//! a rule that meets `Fn::If` judges both branches.

pub mod access;
mod files;
pub mod limits;
pub mod operations;
pub mod queues;

pub use files::files_below;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The violations of a rule, one sentence for each place, which it names by logical id.
pub type Complaints = Vec<String>;

/// A rule: complains about every place in the template that breaks it, found by the types of resources, never by their
/// names. Names stand only in the tables that a review should see grow: who hears, may do and is told what.
pub type Rule = fn(&Template) -> Complaints;

/// Every rule. `tests/template/tests/template.rs` holds that taking out any property of any resource makes one of them complain.
pub const RULES: &[Rule] = &[
    queues::every_queue_has_a_use,
    queues::sources_redrive_to_their_own_dead_letter_queue_of_the_same_kind,
    queues::queues_keep_messages_for_14_days,
    queues::sources_hide_messages_for_six_timeouts,
    queues::sources_report_failures_one_by_one,
    queues::sources_are_bounded,
    queues::the_provider_is_called_below_its_rate,
    queues::fifo_is_by_message_group,
    queues::subscriptions_deliver_raw_and_redrive,
    queues::subscriptions_filter_by_prefix_without_version,
    queues::stages_hear_exactly_their_events,
    access::every_function_has_a_role_of_its_own,
    access::roles_name_actions_and_resources,
    access::roles_grant_exactly_what_is_listed,
    access::consumers_take_from_their_own_queue_only,
    access::consumers_that_look_again_may_loop,
    access::publishers_hold_the_key_of_the_topic,
    access::events_are_heard_from_their_producers_alone,
    access::environment_and_role_name_the_same_things,
    access::environment_variables_are_texts,
    access::topics_allow_no_principal_of_this_account,
    access::queues_admit_only_the_topic,
    access::keys_admit_services_of_this_account_only,
    access::everything_is_encrypted,
    access::secrets_have_no_value_here,
    access::buckets_are_closed_and_expire,
    access::mail_is_encrypted_and_heard_of,
    access::mail_is_sent_as_nobody_else,
    operations::resource_types_are_known_here_and_locally,
    operations::resources_exist_where_they_are_listed,
    operations::parameters_and_conditions_are_used,
    operations::attachments_are_about_something,
    operations::one_stem_everywhere,
    operations::functions_are_built_from_the_workspace,
    operations::references_have_the_form_that_their_place_takes,
    operations::names_are_given_only_where_they_must_and_fit,
    operations::everything_is_described,
    operations::tables_outlive_their_stack,
    operations::logs_are_kept_for_a_while,
    operations::apis_are_throttled_and_logged,
    operations::apis_admit_pages_of_named_origins_alone,
    operations::schedules_are_listed_and_watched,
    operations::queues_are_watched,
    operations::functions_and_apis_are_watched,
    operations::what_is_lost_or_throttled_is_watched,
    operations::mails_are_counted,
    operations::uncollected_payments_are_counted,
    operations::refused_captures_are_counted,
    operations::forwards_that_are_held_back_are_counted,
    operations::mails_that_are_held_back_are_counted,
    operations::to_look_and_to_change_are_two_permissions,
    operations::alarms_reach_the_operators,
    operations::outputs_name_what_others_need,
    limits::the_stack_fits_cloudformation,
    limits::the_policies_of_a_role_fit_iam,
];

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A parsed template, with `!Ref x` written `{"Ref": "x"}` and so on.
#[derive(Debug, Clone)]
pub struct Template {
    root: Value,
    beside: Arc<Beside>,
}

/// What rules hold the template against: other files of its checkout.
#[derive(Debug)]
struct Beside {
    /// The folders of functions.
    functions: BTreeSet<String>,
    /// The page that lists who hears what.
    catalogue: String,
}

impl Template {
    /// Reads the template that is deployed.
    pub fn read() -> Result<Self> {
        Self::read_at(&workspace_root())
    }

    /// Reads the template of a checkout.
    pub fn read_at(checkout: &Path) -> Result<Self> {
        let read = |file: &str| {
            let path = checkout.join(file);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let folders = std::fs::read_dir(checkout.join("functions")).context("cannot read functions/")?;
        let functions = folders.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let beside = Arc::new(Beside { functions, catalogue: read(queues::CATALOGUE)? });
        Ok(Self { root: long_form(yaml_serde::from_str(&read("template.yaml")?)?)?, beside })
    }

    /// The value at a JSON pointer; `Null` if there is none.
    pub fn at(&self, pointer: &str) -> &Value {
        self.root.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The entries of a top-level section.
    pub fn section(&self, name: &str) -> impl Iterator<Item = (&str, &Value)> {
        entries(&self.root[name])
    }

    /// Whether a condition holds in a stack with these parameters, and the default of all others. One that is not defined does not.
    pub fn holds(&self, condition: &str, parameters: &BTreeMap<&str, &str>) -> bool {
        self.is_true(&self.root["Conditions"][condition], parameters)
    }

    fn is_true(&self, expression: &Value, parameters: &BTreeMap<&str, &str>) -> bool {
        let all = |name: &str| expression[name].as_array().map(|list| list.iter().all(|it| self.is_true(it, parameters)));
        let text = |value: &Value| match value["Ref"].as_str() {
            Some(name) => parameters.get(name).map_or_else(|| plain(&self.root["Parameters"][name]["Default"]), |it| (*it).to_owned()),
            None => plain(value),
        };
        match (&expression["Fn::Equals"], expression["Condition"].as_str()) {
            (Value::Array(both), _) => both.first().map(text) == both.get(1).map(text),
            (_, Some(name)) => self.holds(name, parameters),
            _ => all("Fn::And").or_else(|| all("Fn::Not").map(|it| !it)).unwrap_or(false),
        }
    }

    /// Whether a condition can only hold where another does.
    pub fn implies(&self, condition: &Value, other: &str) -> bool {
        let name = condition.as_str().unwrap_or_default();
        name == other || items(&self.root["Conditions"][name]["Fn::And"]).any(|part| self.implies(&part["Condition"], other))
    }

    /// All resources.
    pub fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        self.section("Resources").map(|(id, body)| Resource { id, body, template: self })
    }

    /// The resource of a logical id.
    pub fn resource(&self, id: &str) -> Option<Resource<'_>> {
        let (id, body) = self.root["Resources"].as_object()?.get_key_value(id)?;
        Some(Resource { id, body, template: self })
    }

    /// The resources of a type.
    pub fn of_type(&self, kind: &'static str) -> impl Iterator<Item = Resource<'_>> {
        self.resources().filter(move |resource| resource.kind() == kind)
    }

    /// The resource of a type that `value` refers to.
    pub fn referred(&self, value: &Value, kind: &'static str) -> Option<Resource<'_>> {
        self.resource(target(value)?).filter(|resource| resource.kind() == kind)
    }

    /// All functions.
    pub fn functions(&self) -> impl Iterator<Item = Resource<'_>> {
        self.of_type("AWS::Serverless::Function")
    }

    /// All queues.
    pub fn queues(&self) -> impl Iterator<Item = Resource<'_>> {
        self.of_type("AWS::SQS::Queue")
    }

    /// All event source mappings from a queue of this template to a function.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        self.functions().flat_map(move |function| {
            entries(function.at("/Events")).filter(|(_, event)| event["Type"] == "SQS").filter_map(move |(_, event)| {
                let mapping = &event["Properties"];
                Some(Source { queue: self.referred(&mapping["Queue"], "AWS::SQS::Queue")?, function, mapping })
            })
        })
    }

    /// The consumers of the queues that are subscribed to a topic.
    pub fn consumers_of(&self, topic: &str) -> impl Iterator<Item = Source<'_>> {
        let subscribed = move |queue: &str| {
            let to_it = |it: &Resource<'_>| target(it.at("/Endpoint")) == Some(queue) && target(it.at("/TopicArn")) == Some(topic);
            self.subscriptions().any(|it| to_it(&it))
        };
        self.sources().filter(move |source| subscribed(source.queue.id))
    }

    /// The types of event that a queue is subscribed to, without their versions.
    pub fn heard_at(&self, queue: &str) -> impl Iterator<Item = &str> {
        let subscriptions = self.subscriptions().filter(move |it| target(it.at("/Endpoint")) == Some(queue));
        let prefixes = subscriptions.flat_map(|it| items(it.at("/FilterPolicy/type"))).filter_map(|rule| rule["prefix"].as_str());
        prefixes.map(|prefix| prefix.trim_end_matches('.'))
    }

    /// All subscriptions of queues of this template.
    pub fn subscriptions(&self) -> impl Iterator<Item = Resource<'_>> {
        self.of_type("AWS::SNS::Subscription").filter(|subscription| subscription.at("/Protocol") == "sqs")
    }

    /// A copy in which `value` stands at `path`: `PaymentQueue/VisibilityTimeout` for a property of a resource, or a
    /// JSON pointer from the root. `-` appends to a list. Fails where the parent does not exist.
    pub fn with(&self, path: &str, value: Value) -> Result<Self> {
        let mut copy = self.clone();
        let (parent, key) = copy.parent_of(path)?;
        match parent {
            Value::Object(map) => {
                map.insert(key, value);
            }
            Value::Array(list) if key == "-" => list.push(value),
            Value::Array(list) => *list.get_mut(key.parse::<usize>()?).context("no such item")? = value,
            _ => bail!("{path}: its parent has no children"),
        }
        Ok(copy)
    }

    /// A copy without what stands at `path`, which must exist.
    pub fn without(&self, path: &str) -> Result<Self> {
        let mut copy = self.clone();
        let (parent, key) = copy.parent_of(path)?;
        match parent {
            Value::Object(map) => {
                map.remove(&key).with_context(|| format!("nothing stands at {path}"))?;
            }
            Value::Array(list) if key.parse().is_ok_and(|index: usize| index < list.len()) => {
                list.remove(key.parse()?);
            }
            _ => bail!("nothing stands at {path}"),
        }
        Ok(copy)
    }

    fn parent_of(&mut self, path: &str) -> Result<(&mut Value, String)> {
        let pointer = match path.split_once('/') {
            Some(("", _)) => path.to_owned(),
            Some((id, rest)) => format!("/Resources/{id}/Properties/{rest}"),
            None => format!("/Resources/{path}"),
        };
        let (parent, key) = pointer.rsplit_once('/').context("a pointer has a slash")?;
        let parent = self.root.pointer_mut(parent).with_context(|| format!("nothing stands at {parent}"))?;
        Ok((parent, key.replace("~1", "/").replace("~0", "~")))
    }
}

/// A resource of a template.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// Its logical id.
    pub id: &'a str,
    /// Everything that stands under the id.
    pub body: &'a Value,
    template: &'a Template,
}

impl<'a> Resource<'a> {
    /// Its type.
    pub fn kind(&self) -> &'a str {
        self.body["Type"].as_str().unwrap_or_default()
    }

    /// A property, by JSON pointer; `Null` where it is not set. Functions inherit from `Globals`, leaf by leaf.
    pub fn at(&self, pointer: &str) -> &'a Value {
        let own = self.body["Properties"].pointer(pointer);
        let inherited = || match self.kind() {
            "AWS::Serverless::Function" => self.template.at("/Globals/Function").pointer(pointer),
            _ => None,
        };
        own.or_else(inherited).unwrap_or(&Value::Null)
    }

    /// The folder that a function is built from, which is also its name.
    pub fn folder(&self) -> Option<&'a str> {
        self.body["Metadata"]["BuildProperties"]["Binary"].as_str()
    }

    /// Whether it is a FIFO queue or topic.
    pub fn is_fifo(&self) -> bool {
        self.at("/FifoQueue") == true || self.at("/FifoTopic") == true
    }
}

/// A queue that a function consumes.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The queue.
    pub queue: Resource<'a>,
    /// Its consumer.
    pub function: Resource<'a>,
    /// The properties of the event.
    pub mapping: &'a Value,
}

impl<'a> Source<'a> {
    /// Where what its consumer cannot handle ends.
    pub fn dead_letter_queue(&self) -> Option<Resource<'a>> {
        self.queue.template.referred(self.queue.at("/RedrivePolicy/deadLetterTargetArn"), "AWS::SQS::Queue")
    }
}

/// One of the things that a value can be.
#[derive(Debug, Clone, Copy)]
pub struct Branch<'a> {
    /// The value in that case.
    pub value: &'a Value,
    /// The condition, and whether it holds or fails; `None` for always.
    pub only_if: Option<(&'a str, bool)>,
}

/// All that a value can be: itself, or what the branches of an `Fn::If` can be. `AWS::NoValue` is left out.
pub fn branches(value: &Value) -> Vec<Branch<'_>> {
    match value["Fn::If"].as_array().map(Vec::as_slice) {
        Some([condition, then, otherwise]) => [(then, true), (otherwise, false)]
            .into_iter()
            .flat_map(|(branch, holds)| {
                let outer = condition.as_str().map(|name| (name, holds));
                branches(branch).into_iter().map(move |Branch { value, only_if }| Branch { value, only_if: only_if.or(outer) })
            })
            .collect(),
        _ if value["Ref"] == "AWS::NoValue" => vec![],
        _ => vec![Branch { value, only_if: None }],
    }
}

/// The statements of a policy document, those under a condition too.
pub fn statements(document: &Value) -> Vec<Branch<'_>> {
    conditional_items(&document["Statement"]).collect()
}

/// The logical id that `!Ref`, `!GetAtt` or the first placeholder of a `!Sub` names that is not of CloudFormation itself.
pub fn target(value: &Value) -> Option<&str> {
    let placed = || {
        let names = value["Fn::Sub"].as_str()?.split("${").skip(1).filter_map(|rest| rest.split(['}', '.']).next());
        names.into_iter().find(|name| !name.starts_with("AWS::"))
    };
    value["Ref"].as_str().or_else(|| value["Fn::GetAtt"][0].as_str()).or_else(placed)
}

/// A scalar as CloudFormation compares it: a number is the text of it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The entries of a map; none of anything else.
pub fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The items of a list, or the one thing that stands where a list may; none of nothing. Those under a condition too.
pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    conditional_items(value).map(|branch| branch.value)
}

/// The same, each with its condition.
pub fn conditional_items(value: &Value) -> impl Iterator<Item = Branch<'_>> {
    match value {
        Value::Array(list) => list.as_slice(),
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
    .iter()
    .flat_map(branches)
}

/// The strings among [`items`].
pub fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).filter_map(Value::as_str)
}

/// Every string in a value, however deep.
pub fn all_texts(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::Object(map) => Box::new(map.values().flat_map(all_texts)),
        Value::Array(list) => Box::new(list.iter().flat_map(all_texts)),
        scalar => Box::new(scalar.as_str().into_iter()),
    }
}

/// Writes YAML's short intrinsic functions in their long form.
fn long_form(yaml: yaml_serde::Value) -> Result<Value> {
    use yaml_serde::Value as Yaml;
    Ok(match yaml {
        Yaml::Tagged(tagged) => {
            let name = tagged.tag.to_string();
            let argument = long_form(tagged.value)?;
            match (name.trim_start_matches('!'), argument.as_str().and_then(|text| text.split_once('.'))) {
                ("GetAtt", Some((id, attribute))) => json!({ "Fn::GetAtt": [id, attribute] }),
                (name @ ("Ref" | "Condition"), _) => json!({ name: argument }),
                (name, _) => json!({ format!("Fn::{name}"): argument }),
            }
        }
        Yaml::Sequence(list) => list.into_iter().map(long_form).collect::<Result<_>>()?,
        Yaml::Mapping(map) => map
            .into_iter()
            .map(|(key, value)| Ok((key.as_str().context("a key is no text")?.to_owned(), long_form(value)?)))
            .collect::<Result<Map<_, _>>>()?
            .into(),
        scalar => serde_json::to_value(scalar)?,
    })
}
