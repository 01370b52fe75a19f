//! The rules of the deployment, on the template that is deployed and on copies broken on purpose.
//!
//! A rule that cannot fail is worth nothing: each is seen to complain here. Needs no stack and no account.

use anyhow::{Context as _, Result};
use dlq_inspector::inspector::aws::LOG_ATTEMPT_LIMIT;
use lambda_kit::{
    batch::DEADLINE_MARGIN,
    sdk::{OPERATION_LIMIT, operation_limit},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use template::{
    Complaints, RULES, Resource, Source, Template, access, branches, limits, operations, queues,
    queues::{Use, use_of},
    target, workspace_root,
};
use testkit::stack::STACK_NAME_MAX;

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
    let folders = std::fs::read_dir(workspace_root().join("functions"))?.count();
    assert_eq!(template.functions().count(), folders, "every folder of functions/ is deployed");
    let told = |function: &Resource<'_>| !function.at("/Environment/Variables/QUEUE_URL").is_null();
    let consumers = template.functions().filter(told).count();
    assert!(consumers >= 10, "the template is read as another one: {consumers} consumers");
    assert_eq!((count(Use::Source), template.sources().count()), (consumers, consumers));
    // One for each consumer, and one for each topic that consumers hear.
    let topics: BTreeSet<_> = template.subscriptions().filter_map(|it| target(it.at("/RedrivePolicy/deadLetterTargetArn"))).collect();
    assert_eq!(count(Use::DeadLetters), consumers + topics.len());
    assert!(template.subscriptions().count() >= consumers - 1, "people alone fill one queue");
    Ok(())
}

/// What a stack with these parameters is made of.
fn made_of<'a>(template: &'a Template, parameters: &[(&'a str, &'a str)]) -> BTreeSet<&'a str> {
    let parameters = parameters.iter().copied().collect();
    let exists = |it: &Resource<'_>| it.body["Condition"].as_str().is_none_or(|condition| template.holds(condition, &parameters));
    template.resources().filter(exists).map(|it| it.id).collect()
}

#[test]
fn a_stack_without_a_domain_knows_nothing_of_mail() -> Result<()> {
    let template = Template::read()?;
    let stack = made_of(&template, &[("Stage", "prod")]);
    let of_mail = |it: &Resource<'_>| it.kind().starts_with("AWS::SES::") || it.id.contains("Email") || it.id.contains("Mail");
    let left: Vec<_> = template.resources().filter(|it| stack.contains(it.id) && of_mail(it)).map(|it| it.id).collect();
    assert!(left.is_empty(), "{left:?}");
    let of_every_stack: Vec<_> = template.functions().filter(|it| it.body["Condition"].is_null()).map(|it| it.id).collect();
    assert!(of_every_stack.len() > 10 && of_every_stack.iter().all(|id| stack.contains(id)), "{of_every_stack:?}");
    Ok(())
}

#[test]
fn a_stack_receives_and_verifies_only_what_it_is_told_to() -> Result<()> {
    let template = Template::read()?;
    let domain = [("Stage", "prod"), ("MailDomain", "shop.example.com")];
    let sends = made_of(&template, &domain);
    let of_replies = |id: &&&str| id.contains("Inbound") || id.starts_with("OperatorMail");
    assert_eq!(sends.iter().filter(of_replies).count(), 0);
    assert!(sends.contains("MailIdentity") && sends.contains("OrderEmailFunction"));
    let shares = made_of(&template, &[domain.as_slice(), &[("CreateMailIdentity", "false")]].concat());
    assert_eq!(sends.difference(&shares).collect::<Vec<_>>(), [&"MailIdentity"]);
    let receives = made_of(&template, &[domain.as_slice(), &[("ReceiveMail", "true")]].concat());
    assert!(["InboundRule", "EmailInboundFunction", "OperatorMailConfigurationSet"].iter().all(|id| receives.contains(id)));
    Ok(())
}

#[test]
fn every_function_is_in_the_picture_and_in_the_table() -> Result<()> {
    let page = |name: &str| std::fs::read_to_string(workspace_root().join(name));
    let (picture, readme) = (page("docs/pipeline.svg")?, page("README.md")?);
    let folders = std::fs::read_dir(workspace_root().join("functions"))?;
    let functions: BTreeSet<_> = folders.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // A box of a function, and its name below it.
    let boxes = picture.split("<rect class=\"fn\"").skip(1).filter_map(|rest| rest.split("class=\"n\"").nth(1));
    let drawn: BTreeSet<_> = boxes.filter_map(|text| Some(text.split_once('>')?.1.split_once('<')?.0.to_owned())).collect();
    let listed = readme.split("](functions/").skip(1).filter_map(|rest| rest.split_once("/src/lib.rs)"));
    let listed: BTreeSet<_> = listed.map(|(function, _)| function.to_owned()).filter(|function| !function.contains('/')).collect();
    let wrong = [("docs/pipeline.svg", drawn), ("the table in README.md", listed)].into_iter().flat_map(|(place, named)| {
        let wrong = functions.symmetric_difference(&named).cloned().collect::<Vec<_>>();
        wrong.into_iter().map(move |function| format!("{function}: in {place} or in functions/, not in both"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn the_readme_says_how_many_functions_the_queues_ask_for_at_once() -> Result<()> {
    let template = Template::read()?;
    let most = |source: Source<'_>| {
        branches(&source.mapping["ScalingConfig"]["MaximumConcurrency"]).iter().filter_map(|it| it.value.as_u64()).max()
    };
    let sum: u64 = template.sources().filter_map(most).sum();
    let page = std::fs::read_to_string(workspace_root().join("README.md"))?;
    let readme: Vec<_> = page.split_whitespace().collect();
    assert!(readme.join(" ").contains(&format!("ask for up to {sum}:")), "{sum}");
    Ok(())
}

#[test]
fn the_runbook_says_of_every_alarm_what_to_do() -> Result<()> {
    let path = workspace_root().join("docs/operations.md");
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows = page.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    let names: Vec<_> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(|name| name.ends_with("Alarm")).collect();
    for alarm in Template::read()?.of_type("AWS::CloudWatch::Alarm") {
        let is_meant = |name: &&str| name.strip_prefix('*').map_or(*name == alarm.id, |end| alarm.id.ends_with(end));
        assert!(names.iter().any(is_meant), "{} has no row in docs/operations.md", alarm.id);
    }
    Ok(())
}

/// Takes every property of every resource out, one at a time: some rule must miss it. So no rule sleeps, and nothing can
/// be added that no rule holds in place.
#[test]
fn no_property_can_be_taken_out_unnoticed() -> Result<()> {
    // Globals say a fitting one too.
    let free = ["/Properties/MemorySize"];
    let template = Template::read()?;
    let places: Vec<String> = ["/Resources", "/Globals"].iter().flat_map(|section| paths(template.at(section), section)).collect();
    let places: Vec<&String> = places.iter().filter(|path| !free.iter().any(|it| path.ends_with(it))).collect();
    // Thousands of copies, each held against every rule: one thread for each core.
    let at_once = std::thread::available_parallelism()?.get();
    let unnoticed: Vec<&String> = std::thread::scope(|scope| {
        let shares = places.chunks(places.len().div_ceil(at_once)).map(|share| scope.spawn(|| unnoticed_in(&template, share)));
        let shares: Vec<_> = shares.collect();
        shares.into_iter().map(|share| share.join().expect("no rule panics")).collect::<Result<Vec<_>>>()
    })?
    .concat();
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
    Ok(())
}

/// Those of `places` that can be taken out without a rule that complains.
fn unnoticed_in<'a>(template: &Template, places: &[&'a String]) -> Result<Vec<&'a String>> {
    let mut unnoticed = vec![];
    for &path in places {
        let broken = template.without(path)?;
        if RULES.iter().all(|rule| rule(&broken).is_empty()) {
            unnoticed.push(path);
        }
    }
    Ok(unnoticed)
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

#[test]
fn whatever_is_added_bare_is_refused() -> Result<()> {
    let template = Template::read()?;
    let kinds: BTreeSet<_> = template.resources().map(|resource| resource.kind()).collect();
    for kind in kinds {
        let broken = template.with("/Resources/Added", json!({ "Type": kind }))?;
        let complaints: Complaints = RULES.iter().flat_map(|rule| rule(&broken)).collect();
        assert!(complaints.iter().any(|complaint| complaint.contains("Added")), "{kind} is added unnoticed");
    }
    Ok(())
}

// ── Queues ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn fault_6_report_batch_item_failures_missing_in_the_template() -> Result<()> {
    let rule = queues::sources_report_failures_one_by_one;
    for source in Template::read()?.sources() {
        let path = format!("{}/Events/Queue/Properties/FunctionResponseTypes", source.function.id);
        complains(rule, &without(&path)?, source.queue.id)?;
        complains(rule, &with(&path, json!([]))?, source.queue.id)?;
    }
    Ok(())
}

/// The time limits on calls are constants of `lambda_kit::sdk`, the same for every function; what they have to fit into stands in
/// the template.
#[test]
fn a_call_with_all_its_attempts_fits_into_every_function() -> Result<()> {
    let template = Template::read()?;
    for function in template.functions() {
        let timeout = function.at("/Timeout").as_u64().map(Duration::from_secs).with_context(|| format!("{}: no Timeout", function.id))?;
        // What else takes its time before the call, or after it.
        let (longest, besides) = match function.id {
            "PaymentFunction" => (OPERATION_LIMIT, payment::PROVIDER_BUDGET + DEADLINE_MARGIN),
            "DlqInspectorFunction" => (operation_limit(LOG_ATTEMPT_LIMIT), dlq_inspector::inspector::DEADLINE_MARGIN),
            // Those behind the HTTP API keep back less.
            _ => (OPERATION_LIMIT, DEADLINE_MARGIN),
        };
        assert!(longest + besides <= timeout, "{}: a call may take {longest:?}, {besides:?} besides, of {timeout:?}", function.id);
    }
    Ok(())
}

#[test]
fn a_visibility_timeout_below_six_times_the_function_timeout_is_refused() -> Result<()> {
    let rule = queues::sources_hide_messages_for_six_timeouts;
    complains(rule, &with("PaymentQueue/VisibilityTimeout", json!(179))?, "PaymentQueue")?;
    complains(rule, &without("PaymentQueue/VisibilityTimeout")?, "PaymentQueue")?;
    complains(rule, &with("PaymentFunction/Timeout", json!(31))?, "PaymentQueue")?;
    complains(rule, &with("/Globals/Function/Timeout", json!(11))?, "ShippingQueue")?;
    complains(rule, &with("InventoryFunction/Events/Queue/Properties/MaximumBatchingWindowInSeconds", json!(1))?, "InventoryQueue")
}

#[test]
fn a_source_redrives_to_its_own_queue_of_its_kind() -> Result<()> {
    let rule = queues::sources_redrive_to_their_own_dead_letter_queue_of_the_same_kind;
    let dead_letters = |queue: &str| json!({ "Fn::GetAtt": [queue, "Arn"] });
    let path = "PaymentQueue/RedrivePolicy/deadLetterTargetArn";
    complains(rule, &without("PaymentQueue/RedrivePolicy")?, "PaymentQueue: no redrive")?;
    complains(rule, &with(path, dead_letters("ShippingDeadLetterQueue"))?, "other kind")?;
    complains(rule, &with(path, dead_letters("InventoryDeadLetterQueue"))?, "already")?;
    complains(rule, &with(path, dead_letters("InventoryQueue"))?, "a source itself")?;
    complains(rule, &with("PaymentQueue/RedrivePolicy/maxReceiveCount", json!(5))?, "PaymentQueue")?;
    complains(rule, &with("PaymentQueue/RedrivePolicy/maxReceiveCount", json!(1001))?, "PaymentQueue")
}

#[test]
fn a_queue_that_keeps_messages_for_less_than_14_days_is_refused() -> Result<()> {
    let rule = queues::queues_keep_messages_for_14_days;
    complains(rule, &with("PaymentDeadLetterQueue/MessageRetentionPeriod", json!(345_600))?, "PaymentDeadLetterQueue")?;
    complains(rule, &without("UndeliveredQueue/MessageRetentionPeriod")?, "UndeliveredQueue")
}

#[test]
fn a_queue_that_nobody_fills_or_reads_is_refused() -> Result<()> {
    let rule = queues::every_queue_has_a_use;
    complains(rule, &with("/Resources/Spare", json!({ "Type": "AWS::SQS::Queue" }))?, "Spare")?;
    complains(rule, &without("/Resources/PaymentSubscription")?, "PaymentQueue")?;
    complains(rule, &with("PaymentFunction/Events/Queue/Properties/Queue", json!("arn:aws:sqs:…"))?, "PaymentFunction: event Queue")
}

#[test]
fn a_consumer_without_a_bound_is_refused() -> Result<()> {
    let mapping = "InventoryFunction/Events/Queue/Properties";
    let rule = queues::sources_are_bounded;
    complains(rule, &without(&format!("{mapping}/ScalingConfig"))?, "InventoryQueue")?;
    complains(rule, &with(&format!("{mapping}/ScalingConfig/MaximumConcurrency"), json!(1))?, "InventoryQueue")?;
    complains(rule, &with(&format!("{mapping}/BatchSize"), json!(11))?, "InventoryQueue")
}

#[test]
fn more_calls_concurrently_than_the_provider_takes_are_refused() -> Result<()> {
    let path = "PaymentFunction/Events/Queue/Properties/ScalingConfig/MaximumConcurrency";
    let rule = queues::the_provider_is_called_below_its_rate;
    complains(rule, &with(path, json!(9))?, "25 a second")?;
    complains(rule, &with(&format!("{path}/Fn::If/1"), json!(10))?, "100 a second")?;
    complains(rule, &with(&format!("{path}/Fn::If/2"), json!(3))?, "25 a second")?;
    let variables = "PaymentFunction/Environment/Variables";
    complains(rule, &with(&format!("{path}/Fn::If/1"), json!(6))?, "MAXIMUM_CONCURRENCY")?;
    complains(rule, &with(&format!("{variables}/MAXIMUM_CONCURRENCY"), json!(2))?, "MAXIMUM_CONCURRENCY")?;
    complains(rule, &without(&format!("{variables}/STRIPE_CALLS_PER_SECOND"))?, "STRIPE_CALLS_PER_SECOND")
}

#[test]
fn fifo_that_is_not_by_message_group_is_refused() -> Result<()> {
    let rule = queues::fifo_is_by_message_group;
    complains(rule, &with("ShippingQueue/DeduplicationScope", json!("queue"))?, "ShippingQueue")?;
    complains(rule, &without("UndeliveredQueue/FifoThroughputLimit")?, "UndeliveredQueue")?;
    complains(rule, &without("OrderEventsTopic/FifoThroughputScope")?, "OrderEventsTopic")?;
    complains(rule, &with("OrderEventsTopic/ContentBasedDeduplication", json!(true))?, "OrderEventsTopic")
}

#[test]
fn a_subscription_that_wraps_or_loses_messages_is_refused() -> Result<()> {
    let rule = queues::subscriptions_deliver_raw_and_redrive;
    complains(rule, &without("PaymentSubscription/RawMessageDelivery")?, "PaymentSubscription: RawMessageDelivery")?;
    complains(rule, &without("PaymentSubscription/RedrivePolicy")?, "PaymentSubscription: no redrive")?;
    let standard = json!({ "Fn::GetAtt": ["PaymentDeadLetterQueue", "Arn"] });
    complains(rule, &with("PaymentSubscription/RedrivePolicy/deadLetterTargetArn", standard)?, "other kind")?;
    complains(rule, &with("OrderEventsTopic/Subscription", json!([{ "Protocol": "sqs" }]))?, "OrderEventsTopic")
}

#[test]
fn a_filter_that_names_a_version_or_no_event_is_refused() -> Result<()> {
    let rule = queues::subscriptions_filter_by_prefix_without_version;
    for prefix in ["order.placed.v1", "order.placed", "order.", "", "order.shiped."] {
        complains(rule, &with("PaymentSubscription/FilterPolicy/type/0/prefix", json!(prefix))?, "PaymentSubscription")?;
    }
    complains(rule, &with("PaymentSubscription/FilterPolicy/type/0", json!("order.placed.v1"))?, "PaymentSubscription")?;
    complains(rule, &without("PaymentSubscription/FilterPolicy")?, "PaymentSubscription")?;
    complains(rule, &with("PaymentSubscription/FilterPolicyScope", json!("MessageBody"))?, "PaymentSubscription")?;
    complains(rule, &with("PaymentSubscription/FilterPolicy/$or", json!([{}]))?, "PaymentSubscription")?;
    complains(rule, &with("OrderDeadlineSubscription/FilterPolicy/again", json!([{ "exists": true }]))?, "OrderDeadlineSubscription")?;
    complains(rule, &with("PaymentSubscription/FilterPolicy/source", json!(["/order-intake"]))?, "PaymentSubscription")
}

#[test]
fn a_public_subscription_that_filters_by_attributes_is_refused() -> Result<()> {
    let rule = queues::subscriptions_filter_by_prefix_without_version;
    let public = |rest: &str| format!("ShippingPublicSubscription/{rest}");
    complains(rule, &with(&public("FilterPolicyScope"), json!("MessageAttributes"))?, "FilterPolicyScope is not MessageBody")?;
    complains(rule, &without(&public("FilterPolicyScope"))?, "FilterPolicyScope is not MessageBody")?;
    complains(rule, &without(&public("FilterPolicy/source"))?, "names no source")?;
    complains(rule, &with(&public("FilterPolicy/source/0"), json!({ "prefix": "/" }))?, "source")?;
    let rule = queues::stages_hear_exactly_their_events;
    complains(rule, &with(&public("FilterPolicy/type/-"), json!({ "prefix": "payment.authorized." }))?, "ShippingPublicSubscription")?;
    complains(rule, &with("PaymentSubscription/TopicArn", json!({ "Ref": "PublicEventsTopic" }))?, "PaymentSubscription")?;
    complains(rule, &without("/Resources/WelcomeEmailPublicSubscription")?, "WelcomeEmailQueue: it does not hear")?;
    complains(rule, &without("/Resources/ShippingSubscription")?, "ShippingQueue: it does not hear")
}

#[test]
fn a_stage_that_hears_more_or_less_than_is_listed_is_refused() -> Result<()> {
    let rule = queues::stages_hear_exactly_their_events;
    complains(rule, &with("PaymentSubscription/FilterPolicy/type/-", json!({ "prefix": "inventory.rejected." }))?, "PaymentQueue")?;
    complains(rule, &without("ShippingSubscription/FilterPolicy/type/0")?, "ShippingQueue")?;
    complains(rule, &without("OrderDeadlineSubscription/FilterPolicy/again")?, "OrderDeadlineSubscription")?;
    complains(rule, &with("OrderDeadlineQueue/DelaySeconds", json!(900))?, "OrderDeadlineQueue")
}

// ── Access ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_role_that_is_shared_or_written_by_others_is_refused() -> Result<()> {
    let rule = access::every_function_has_a_role_of_its_own;
    complains(rule, &with("PaymentFunction/Role", json!({ "Fn::GetAtt": ["InventoryRole", "Arn"] }))?, "InventoryRole")?;
    complains(rule, &without("PaymentFunction/Role")?, "PaymentFunction")?;
    complains(rule, &with("PaymentFunction/Policies", json!(["AmazonSQSFullAccess"]))?, "PaymentFunction")?;
    complains(rule, &with("PaymentRole/ManagedPolicyArns", json!(["arn:aws:iam::aws:policy/AdministratorAccess"]))?, "PaymentRole")?;
    let anyone = json!({ "AWS": "*" });
    complains(rule, &with("PaymentRole/AssumeRolePolicyDocument/Statement/0/Principal", anyone)?, "PaymentRole")
}

#[test]
fn a_wildcard_in_a_role_is_refused() -> Result<()> {
    let rule = access::roles_name_actions_and_resources;
    let statement = "PaymentRole/Policies/0/PolicyDocument/Statement/4";
    for action in ["*", "dynamodb:*", "dynamodb:Put*", "sns:*"] {
        complains(rule, &with(&format!("{statement}/Action"), json!(action))?, "KeepPayments")?;
    }
    for resource in [json!("*"), json!("arn:aws:dynamodb:*:*:table/*"), json!({ "Fn::Sub": "${PaymentsTable.Arn}/*" })] {
        complains(rule, &with(&format!("{statement}/Resource"), resource)?, "KeepPayments")?;
    }
    complains(rule, &with(&format!("{statement}/NotAction"), json!("iam:*"))?, "KeepPayments")?;
    complains(rule, &with(&format!("{statement}/Effect"), json!("Deny"))?, "KeepPayments")
}

#[test]
fn mail_is_allowed_on_everything_in_local_stacks_only() -> Result<()> {
    let rule = access::roles_name_actions_and_resources;
    let mail = |action: &str, resource: Value| {
        let statement = json!({ "Sid": "Mail", "Effect": "Allow", "Action": action, "Resource": resource });
        with("PaymentRole/Policies/0/PolicyDocument/Statement/-", statement)
    };
    let identity = json!({ "Fn::GetAtt": ["PaymentsTable", "Arn"] });
    let local = json!({ "Fn::If": ["IsLocal", "*", identity] });
    assert_eq!(rule(&mail("ses:SendEmail", local.clone())?), Complaints::new());
    complains(rule, &mail("dynamodb:PutItem", local)?, "Mail")?;
    complains(rule, &mail("ses:SendEmail", json!("*"))?, "Mail")?;
    complains(rule, &mail("ses:SendEmail", json!({ "Fn::If": ["OnAws", "*", identity] }))?, "Mail")
}

#[test]
fn a_role_that_allows_one_action_more_or_less_is_refused() -> Result<()> {
    let template = Template::read()?;
    for role in template.of_type("AWS::IAM::Role") {
        let function = role.id.replace("Role", "Function");
        let allowed = role.at("/Policies/0/PolicyDocument/Statement").as_array().context("no statements")?;
        for (index, statement) in allowed.iter().enumerate() {
            let path = format!("{}/Policies/0/PolicyDocument/Statement/{index}/Action", role.id);
            let actions = statement["Action"].as_array().cloned().unwrap_or_else(|| vec![statement["Action"].clone()]);
            for action in &actions {
                let fewer: Vec<_> = actions.iter().filter(|other| *other != action).collect();
                complains(access::roles_grant_exactly_what_is_listed, &template.with(&path, json!(fewer))?, &function)?;
            }
            let more: Vec<_> = actions.iter().cloned().chain([json!("dynamodb:Scan")]).collect();
            complains(access::roles_grant_exactly_what_is_listed, &template.with(&path, json!(more))?, &function)?;
        }
    }
    Ok(())
}

#[test]
fn a_consumer_that_may_touch_another_queue_or_not_its_own_is_refused() -> Result<()> {
    let rule = access::consumers_take_from_their_own_queue_only;
    let of = |queue: &str| json!({ "Fn::GetAtt": [queue, "Arn"] });
    let statements = "PaymentRole/Policies/0/PolicyDocument/Statement";
    complains(rule, &with(&format!("{statements}/1/Resource"), of("InventoryQueue"))?, "on InventoryQueue")?;
    complains(rule, &with(&format!("{statements}/2/Resource"), of("UndeliveredQueue"))?, "on PaymentDeadLetterQueue")?;
    complains(rule, &without(&format!("{statements}/1/Action/2"))?, "on PaymentQueue")?;
    // Only a consumer that checks again sends to its own queue.
    complains(rule, &without(&format!("{statements}/3"))?, "on PaymentQueue")?;
    let schedule = json!({"Sid": "S", "Effect": "Allow", "Action": "sqs:SendMessage*", "Resource": of("ShippingQueue")});
    complains(rule, &with("ShippingRole/Policies/0/PolicyDocument/Statement/-", schedule)?, "on ShippingQueue")?;
    complains(rule, &with("OrderStatusRole/Policies/0/PolicyDocument/Statement/1/Resource", of("PaymentQueue"))?, "OrderStatusFunction")
}

#[test]
fn a_function_that_lambda_would_stop_after_16_checks_is_refused() -> Result<()> {
    let rule = access::consumers_that_look_again_may_loop;
    complains(rule, &without("OrderDeadlineFunction/RecursiveLoop")?, "OrderDeadlineFunction")?;
    complains(rule, &with("PaymentFunction/RecursiveLoop", json!("Terminate"))?, "PaymentFunction")?;
    complains(rule, &with("ShippingFunction/RecursiveLoop", json!("Allow"))?, "ShippingFunction")
}

#[test]
fn a_publisher_without_the_topics_key_is_refused() -> Result<()> {
    let rule = access::publishers_hold_the_key_of_the_topic;
    let statements = "OrderIntakeRole/Policies/0/PolicyDocument/Statement";
    complains(rule, &without(&format!("{statements}/4"))?, "OrderIntakeRole")?;
    complains(rule, &without(&format!("{statements}/4/Action/0"))?, "OrderIntakeRole")?;
    complains(rule, &without(&format!("{statements}/3"))?, "OrderIntakeRole")
}

#[test]
fn an_event_that_is_heard_from_others_than_its_producers_is_refused() -> Result<()> {
    let rule = access::events_are_heard_from_their_producers_alone;
    let publishes_to = |role: &str, statement: u8, topic: &str| {
        with(&format!("{role}/Policies/0/PolicyDocument/Statement/{statement}/Resource"), json!({ "Ref": topic }))
    };
    let exposed = publishes_to("CustomerSignupRole", 2, "OrderEventsTopic")?;
    complains(rule, &exposed, "CustomerSignupFunction: OrderEventsTopic believes")?;
    complains(rule, &exposed, "WelcomeEmailQueue: hears customer.signed_up not from customer-signup")?;
    complains(rule, &publishes_to("PaymentRole", 6, "PublicEventsTopic")?, "OrderTrackingQueue: hears payment.voided not from payment")?;
    let announce = json!({ "Sid": "Announce", "Effect": "Allow", "Action": "sns:Publish*", "Resource": { "Ref": "OrderEventsTopic" } });
    complains(rule, &with("OrderTrackingRole/Policies/0/PolicyDocument/Statement/-", announce)?, "order-tracking: a producer or")?;
    complains(
        rule,
        &without("/Resources/ShippingPublicSubscription")?,
        "ShippingQueue: hears order.cancel_requested not from email-inbound",
    )?;
    let source = "ShippingPublicSubscription/FilterPolicy/source";
    complains(rule, &with(&format!("{source}/-"), json!("/customer-signup"))?, "ShippingPublicSubscription")?;
    complains(rule, &with(&format!("{source}/0"), json!("/payment"))?, "ShippingPublicSubscription")?;
    let foreign = json!({ "prefix": "customer.signed_up." });
    complains(rule, &with("OrderTrackingSubscription/FilterPolicy/type/-", foreign)?, "OrderTrackingSubscription")
}

#[test]
fn a_function_that_is_told_of_what_it_may_not_use_is_refused() -> Result<()> {
    let rule = access::environment_and_role_name_the_same_things;
    let variables = "ShippingFunction/Environment/Variables";
    complains(rule, &with(&format!("{variables}/SHIPMENTS_TABLE"), json!({ "Ref": "OrdersTable" }))?, "ShippingFunction")?;
    complains(rule, &with(&format!("{variables}/QUEUE_URL"), json!({ "Ref": "ShippingDeadLetterQueue" }))?, "QUEUE_URL")?;
    complains(rule, &without(&format!("{variables}/DEAD_LETTER_QUEUE_URL"))?, "DEAD_LETTER_QUEUE_URL")?;
    complains(rule, &with(&format!("{variables}/COLOUR"), json!("red"))?, "ShippingFunction")
}

#[test]
fn an_environment_variable_that_is_no_text_is_refused() -> Result<()> {
    let rule = access::environment_variables_are_texts;
    let (own, globals) = ("PaymentFunction/Environment/Variables/MAXIMUM_CONCURRENCY", "/Globals/Function/Environment");
    complains(rule, &with(own, json!({ "Fn::If": ["IsProd", 5, "2"] }))?, "MAXIMUM_CONCURRENCY")?;
    complains(rule, &with(own, json!(false))?, "MAXIMUM_CONCURRENCY")?;
    complains(rule, &with(globals, json!({ "Variables": { "NUMBER": 7 } }))?, "NUMBER")
}

#[test]
fn a_topic_that_is_open_to_this_account_is_refused() -> Result<()> {
    let rule = access::topics_allow_no_principal_of_this_account;
    let statements = "OrderEventsTopicPolicy/PolicyDocument/Statement";
    complains(rule, &without("/Resources/OrderEventsTopicPolicy")?, "OrderEventsTopic: 0 policies")?;
    complains(rule, &without(&format!("{statements}/0"))?, "nothing is said in every stage")?;
    complains(rule, &without(&format!("{statements}/1"))?, "plain HTTP")?;
    complains(rule, &with(&format!("{statements}/1/Fn::If/0"), json!("IsLocal"))?, "plain HTTP")?;
    for principal in [json!("*"), json!({ "AWS": { "Fn::GetAtt": ["PaymentRole", "Arn"] } }), json!({ "Service": "s3.amazonaws.com" })] {
        let open = json!({ "Sid": "Open", "Effect": "Allow", "Principal": principal, "Action": "sns:Publish", "Resource": { "Ref": "OrderEventsTopic" } });
        complains(rule, &with(&format!("{statements}/-"), open)?, "Open")?;
    }
    complains(rule, &without("AlertsTopicPolicy/PolicyDocument/Statement/0/Condition")?, "AlarmsOfThisAccount")
}

#[test]
fn a_queue_that_admits_others_than_its_topic_is_refused() -> Result<()> {
    let rule = access::queues_admit_only_the_topic;
    let statements = "HearingQueuesPolicy/PolicyDocument/Statement";
    complains(rule, &without(&format!("{statements}/0/Condition"))?, "PaymentQueue")?;
    let admitted = format!("{statements}/0/Condition/ArnEquals/aws:SourceArn");
    complains(rule, &with(&admitted, json!({ "Ref": "AlertsTopic" }))?, "PaymentQueue")?;
    complains(rule, &with(&format!("{admitted}/-"), json!({ "Ref": "AlertsTopic" }))?, "PaymentQueue")?;
    complains(rule, &without(&format!("{admitted}/1"))?, "ShippingQueue")?;
    complains(rule, &with(&format!("{statements}/0/Principal"), json!("*"))?, "PaymentQueue")?;
    complains(rule, &without(&format!("{statements}/1"))?, "plain HTTP")?;
    complains(rule, &without("HearingQueuesPolicy/Queues/0")?, "PaymentQueue: 0 policies")?;
    complains(rule, &with("DeadLetterQueuesPolicy/Queues/-", json!({ "Ref": "PaymentQueue" }))?, "PaymentQueue: 2 policies")?;
    complains(rule, &without("/Resources/DeadLetterQueuesPolicy/Condition")?, "plain HTTP")
}

#[test]
fn a_key_that_admits_services_of_other_accounts_is_refused() -> Result<()> {
    let rule = access::keys_admit_services_of_this_account_only;
    let statements = "TopicKey/KeyPolicy/Statement";
    complains(rule, &without(&format!("{statements}/1/Condition"))?, "TopicKey: admits more")?;
    complains(rule, &without(&format!("{statements}/1/Principal/Service/1"))?, "ses.amazonaws.com")?;
    complains(rule, &without("AlertsKey/KeyPolicy/Statement/1/Principal/Service/1")?, "cloudwatch.amazonaws.com")?;
    // A failure of this key could not be told.
    complains(rule, &with("AlertsTopic/KmsMasterKeyId", json!({ "Ref": "TopicKey" }))?, "TopicKey")?;
    complains(rule, &with(&format!("{statements}/1/Principal"), json!("*"))?, "TopicKey")?;
    complains(rule, &without(&format!("{statements}/0"))?, "cannot administer")?;
    complains(rule, &without("TopicKey/EnableKeyRotation")?, "EnableKeyRotation")
}

#[test]
fn what_is_not_encrypted_or_by_a_managed_key_of_aws_is_refused() -> Result<()> {
    let rule = access::everything_is_encrypted;
    complains(rule, &with("PaymentQueue/SqsManagedSseEnabled", json!(false))?, "PaymentQueue")?;
    complains(rule, &with("PaymentQueue/KmsMasterKeyId", json!("alias/aws/sqs"))?, "PaymentQueue: names a managed key")?;
    complains(rule, &with("AlertsTopic/KmsMasterKeyId", json!("alias/aws/sns"))?, "AlertsTopic: names a managed key")?;
    complains(rule, &without("OrderEventsTopic/KmsMasterKeyId")?, "OrderEventsTopic")?;
    complains(rule, &without("PaymentsTable/SSESpecification")?, "PaymentsTable")
}

#[test]
fn a_key_of_the_provider_in_the_template_is_refused() -> Result<()> {
    let rule = access::secrets_have_no_value_here;
    complains(rule, &with("StripeKeySecret/SecretString", json!("…"))?, "StripeKeySecret")?;
    complains(rule, &with("UnsubscribeSecret/GenerateSecretString/PasswordLength", json!(1))?, "UnsubscribeSecret")?;
    complains(rule, &with("StripeKeySecret/GenerateSecretString", json!({}))?, "StripeKeySecret")?;
    complains(rule, &with("PaymentFunction/Environment/Variables/STRIPE_KEY", json!("sk_test_1"))?, "PaymentFunction")
}

#[test]
fn a_bucket_that_is_open_or_keeps_for_ever_is_refused() -> Result<()> {
    let rule = access::buckets_are_closed_and_expire;
    complains(rule, &with("CampaignsBucket/PublicAccessBlockConfiguration/BlockPublicPolicy", json!(false))?, "CampaignsBucket")?;
    complains(rule, &without("CampaignsBucket/LifecycleConfiguration")?, "CampaignsBucket")?;
    let rules = "DlqArchiveBucket/LifecycleConfiguration/Rules";
    complains(rule, &without(&format!("{rules}/1"))?, "DlqArchiveBucket")?;
    complains(rule, &without(&format!("{rules}/1/Prefix"))?, "DlqArchiveBucket")?;
    complains(rule, &with(&format!("{rules}/1/ExpirationInDays"), json!(400))?, "DlqArchiveBucket")?;
    complains(rule, &with(&format!("{rules}/0/Status"), json!("Disabled"))?, "DlqArchiveBucket")?;
    complains(rule, &without("/Resources/DlqArchiveBucketPolicy")?, "DlqArchiveBucket: plain HTTP")?;
    complains(rule, &without("InboundMailBucketPolicy/PolicyDocument/Statement/1")?, "InboundMailBucket: plain HTTP")?;
    complains(rule, &without("DlqArchiveBucket/VersioningConfiguration")?, "DlqArchiveBucket: has versions")?;
    // What persons wrote would be there for as long again.
    complains(rule, &with(&format!("{rules}/4/NoncurrentVersionExpiration/NoncurrentDays"), json!(30))?, "DlqArchiveBucket")?;
    complains(rule, &with("/Resources/InboundMailBucket/DeletionPolicy", json!("RetainExceptOnCreate"))?, "InboundMailBucket")?;
    let anyone = "InboundMailBucketPolicy/PolicyDocument/Statement/0/Principal";
    complains(rule, &with(anyone, json!("*"))?, "InboundMailBucketPolicy")
}

#[test]
fn mail_that_is_not_encrypted_or_of_which_nobody_hears_is_refused() -> Result<()> {
    let rule = access::mail_is_encrypted_and_heard_of;
    complains(rule, &with("MailConfigurationSet/DeliveryOptions/TlsPolicy", json!("OPTIONAL"))?, "MailConfigurationSet")?;
    complains(rule, &without("MailEventDestination/EventDestination/MatchingEventTypes/2")?, "MailEventDestination")?;
    complains(rule, &without("/Resources/MailEventDestination")?, "AWS::SES::ConfigurationSetEventDestination")?;
    complains(rule, &without("/Resources/OperatorMailEventDestination/DependsOn")?, "OperatorMailEventDestination")?;
    complains(rule, &with("OperatorMailConfigurationSet/SuppressionOptions/SuppressedReasons", json!(["COMPLAINT"]))?, "Operator")?;
    let set = json!({ "Ref": "MailConfigurationSet" });
    complains(rule, &with("EmailInboundFunction/Environment/Variables/MAIL_CONFIGURATION_SET", set)?, "EmailInboundFunction")?;
    complains(rule, &without("OrderEmailFunction/Environment/Variables/MAIL_CONFIGURATION_SET")?, "OrderEmailFunction")?;
    for event in ["open", "click"] {
        complains(rule, &with("MailEventDestination/EventDestination/MatchingEventTypes/-", json!(event))?, "MailEventDestination")?;
    }
    let tracked = json!({ "Ref": "CampaignMailConfigurationSet" });
    for function in ["OrderEmailFunction", "WelcomeEmailFunction"] {
        complains(rule, &with(&format!("{function}/Environment/Variables/MAIL_CONFIGURATION_SET"), tracked.clone())?, function)?;
    }
    complains(rule, &with("InboundRule/Rule/ScanEnabled", json!(false))?, "InboundRule")?;
    complains(rule, &without("InboundMailBucketPolicy/PolicyDocument/Statement/0")?, "InboundRule: no policy lets SES store")?;
    complains(rule, &with("OrderEmailFunction/Environment/Variables/REPLIES_TO", json!({ "Ref": "SupportEmail" }))?, "OrderEmail")?;
    complains(operations::mails_are_counted, &without("/Resources/RenderingFailureAlarm")?, "RenderingFailures")
}

#[test]
fn a_role_that_may_send_as_somebody_else_or_to_anybody_is_refused() -> Result<()> {
    let rule = access::mail_is_sent_as_nobody_else;
    let place = |role: &str| -> Result<String> {
        let template = Template::read()?;
        let statements = template.at(&format!("/Resources/{role}/Properties/Policies/0/PolicyDocument/Statement")).clone();
        let at = statements.as_array().and_then(|it| it.iter().position(|it| it["Sid"] == "SendMail")).context("it sends no mail")?;
        Ok(format!("{role}/Policies/0/PolicyDocument/Statement/{at}/Condition"))
    };
    for function in ["WelcomeEmail", "OrderEmail", "EmailInbound"] {
        let condition = place(&format!("{function}Role"))?;
        complains(rule, &without(&condition)?, function)?;
        let anybody = json!({ "Fn::Sub": "*@${MailDomain}" });
        complains(rule, &with(&format!("{condition}/StringEquals/ses:FromAddress"), anybody)?, function)?;
        let variable = format!("{function}Function/Environment/Variables/ORDERS_ADDRESS");
        complains(rule, &with(&variable, json!({ "Fn::Sub": "shop@${MailDomain}" }))?, function)?;
    }
    complains(rule, &without(&format!("{}/ForAllValues:StringEquals", place("EmailInboundRole")?))?, "EmailInbound")?;
    let never = json!({ "StringEquals": { "ses:FromAddress": "orders@example.com" } });
    complains(rule, &with(&place("EmailCampaignRole")?, never)?, "EmailCampaign")
}

#[test]
fn a_service_that_is_admitted_for_more_than_this_stack_is_refused() -> Result<()> {
    let arn = |rest: &str| json!({ "Fn::Sub": format!("arn:${{AWS::Partition}}:ses:${{AWS::Region}}:${{AWS::AccountId}}:{rest}") });
    let topics = access::topics_allow_no_principal_of_this_account;
    for policy in ["MailEventsTopicPolicy", "InboundMailTopicPolicy", "AlertsTopicPolicy"] {
        let condition = format!("{policy}/PolicyDocument/Statement/0/Condition");
        complains(topics, &without(&format!("{condition}/ArnLike"))?, policy)?;
        complains(topics, &without(&format!("{condition}/StringEquals"))?, policy)?;
        complains(topics, &with(&format!("{condition}/ArnLike/aws:SourceArn"), json!("*"))?, policy)?;
        complains(topics, &with(&format!("{condition}/ArnLike/aws:SourceArn"), arn("identity/${MailDomain}"))?, policy)?;
    }
    let sets = "MailEventsTopicPolicy/PolicyDocument/Statement/0/Condition/ArnLike/aws:SourceArn";
    complains(topics, &without(&format!("{sets}/1"))?, "MailEventsTopicPolicy")?;
    complains(topics, &with(&format!("{sets}/0"), arn("configuration-set/*"))?, "MailEventsTopicPolicy")?;
    let buckets = access::buckets_are_closed_and_expire;
    let condition = "InboundMailBucketPolicy/PolicyDocument/Statement/0/Condition";
    complains(buckets, &without(&format!("{condition}/ArnLike"))?, "InboundMailBucketPolicy")?;
    complains(buckets, &with(&format!("{condition}/ArnLike/aws:SourceArn"), arn("receipt-rule-set/*"))?, "InboundMailBucketPolicy")
}

// ── Operations ──────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_type_that_no_rule_knows_or_the_local_engine_refuses_is_refused() -> Result<()> {
    let rule = operations::resource_types_are_known_here_and_locally;
    for kind in ["AWS::Lambda::EventSourceMapping", "AWS::Lambda::Function", "AWS::IAM::Policy", "AWS::CloudWatch::CompositeAlarm"] {
        complains(rule, &with("/Resources/Added", json!({ "Type": kind }))?, "Added")?;
    }
    let on_aws = json!({ "Type": "AWS::CloudWatch::CompositeAlarm", "Condition": "OnAws" });
    assert_eq!(rule(&with("/Resources/Added", on_aws)?), Complaints::new());
    complains(rule, &with("PaymentFunction/Events/Topic", json!({ "Type": "SNS" }))?, "PaymentFunction")?;
    complains(rule, &with("/Resources/AlertsEmailSubscription/Condition", json!("HasMail"))?, "AlertsEmailSubscription")?;
    complains(rule, &with("PaymentAgeAlarm/Metrics", json!([]))?, "PaymentAgeAlarm")
}

#[test]
fn a_parameter_or_condition_that_nothing_asks_is_refused() -> Result<()> {
    let rule = operations::parameters_and_conditions_are_used;
    complains(rule, &with("/Parameters/Colour", json!({ "Type": "String" }))?, "Colour")?;
    complains(rule, &without("/Resources/AlertsEmailSubscription")?, "HasAlertEmail")
}

#[test]
fn a_policy_or_filter_on_nothing_is_refused() -> Result<()> {
    let rule = operations::attachments_are_about_something;
    complains(rule, &with("AlertsTopicPolicy/Topics", json!([]))?, "AlertsTopicPolicy")?;
    complains(rule, &with("HearingQueuesPolicy/Queues/0", json!({ "Ref": "PaymentsTable" }))?, "HearingQueuesPolicy")?;
    complains(rule, &without("PaymentRetryFilter/LogGroupName")?, "PaymentRetryFilter")
}

#[test]
fn a_function_of_another_stem_is_refused() -> Result<()> {
    let rule = operations::one_stem_everywhere;
    let binary = "/Resources/PaymentFunction/Metadata/BuildProperties/Binary";
    complains(rule, &with(binary, json!("payments"))?, "PaymentFunction: builds the binary")?;
    complains(rule, &without("/Resources/OrderStatusFunction")?, "order-status: in functions/")?;
    complains(rule, &with("PaymentFunction/LoggingConfig/LogGroup", json!({ "Ref": "InventoryLogGroup" }))?, "PaymentLogGroup")?;
    complains(rule, &with("PaymentRole/Policies/0/PolicyName", json!("pay"))?, "PaymentFunction")
}

#[test]
fn a_function_that_is_built_otherwise_is_refused() -> Result<()> {
    let rule = operations::functions_are_built_from_the_workspace;
    complains(rule, &with("PaymentFunction/Runtime", json!("python3.13"))?, "PaymentFunction: Runtime")?;
    complains(rule, &without("/Globals/Function/CodeUri")?, "PaymentFunction: CodeUri")?;
    complains(rule, &with("/Resources/PaymentFunction/Metadata/BuildMethod", json!("makefile"))?, "PaymentFunction")?;
    complains(rule, &with("PaymentFunction/MemorySize", json!(512))?, "PaymentFunction: MemorySize")?;
    complains(rule, &with("PaymentFunction/Environment/Variables/STRIPE_API_URL", json!({ "Ref": "StripeUrl" }))?, "STRIPE_API_URL")?;
    complains(rule, &without("PaymentFunction/Events")?, "PaymentFunction: nothing invokes it")?;
    let route = json!({ "Command": { "Type": "HttpApi", "Properties": { "Path": "/command", "Method": "POST" } } });
    complains(rule, &with("OperatorFunction/Events", route)?, "OperatorFunction: nothing invokes it")
}

#[test]
fn a_reference_of_the_wrong_form_is_refused() -> Result<()> {
    let rule = operations::references_have_the_form_that_their_place_takes;
    complains(rule, &with("PaymentSubscription/Endpoint", json!({ "Ref": "PaymentQueue" }))?, "PaymentSubscription: Endpoint")?;
    let variables = "PaymentFunction/Environment/Variables";
    complains(rule, &with(&format!("{variables}/STRIPE_KEY_SECRET_ARN"), json!({ "Ref": "StripeKeySecret" }))?, "STRIPE_KEY_SECRET_ARN")?;
    complains(rule, &with(&format!("{variables}/QUEUE_URL"), json!({ "Fn::GetAtt": ["PaymentQueue", "Arn"] }))?, "QUEUE_URL")?;
    complains(rule, &with("PaymentAgeAlarm/Dimensions/0/Value", json!({ "Ref": "PayQueue" }))?, "PaymentAgeAlarm")
}

#[test]
fn a_name_that_is_not_needed_or_does_not_fit_is_refused() -> Result<()> {
    let rule = operations::names_are_given_only_where_they_must_and_fit;
    complains(rule, &with("PaymentQueue/QueueName", json!("payment"))?, "PaymentQueue: needs no QueueName")?;
    complains(rule, &with("OrdersTable/TableName", json!("orders"))?, "OrdersTable: needs no TableName")?;
    let long = format!("${{AWS::StackName}}-{}.fifo", "x".repeat(40));
    for name in [json!("shipping.fifo"), json!({ "Fn::Sub": "${AWS::StackName}-shipping" }), json!({ "Fn::Sub": long })] {
        complains(rule, &with("ShippingQueue/QueueName", name)?, "ShippingQueue")?;
    }
    complains(rule, &without("OrderEventsTopic/TopicName")?, "OrderEventsTopic")
}

#[test]
fn what_is_not_described_is_refused() -> Result<()> {
    let rule = operations::everything_is_described;
    complains(rule, &without("/Description")?, "template")?;
    complains(rule, &without("/Parameters/Stage/Description")?, "Stage")?;
    complains(rule, &with("/Outputs/ApiUrl/Description", json!("TODO"))?, "ApiUrl")?;
    complains(rule, &without("PaymentFunction/Description")?, "PaymentFunction")?;
    complains(rule, &without("PaymentAgeAlarm/AlarmDescription")?, "PaymentAgeAlarm")
}

#[test]
fn a_table_that_can_lose_its_records_is_refused() -> Result<()> {
    let rule = operations::tables_outlive_their_stack;
    complains(rule, &without("/Resources/PaymentsTable/DeletionPolicy")?, "PaymentsTable: is deleted")?;
    complains(rule, &with("/Resources/PaymentsTable/UpdateReplacePolicy", json!("Delete"))?, "PaymentsTable: is deleted")?;
    complains(rule, &without("PaymentsTable/PointInTimeRecoverySpecification")?, "PaymentsTable: no point-in-time")?;
    complains(rule, &with("PaymentsTable/BillingMode", json!("PROVISIONED"))?, "PaymentsTable: not on demand")?;
    complains(rule, &without("PaymentsTable/DeletionProtectionEnabled")?, "may be deleted in prod")?;
    complains(rule, &with("PaymentsTable/TimeToLiveSpecification", json!({ "Enabled": true }))?, "expire")?;
    complains(rule, &without("/Resources/MailLimitsTable/Properties/TimeToLiveSpecification")?, "for ever")?;
    complains(rule, &with("PaymentsTable/AttributeDefinitions/0/AttributeType", json!("N"))?, "PaymentsTable: not keyed")
}

#[test]
fn a_log_that_is_kept_for_ever_or_shared_is_refused() -> Result<()> {
    let rule = operations::logs_are_kept_for_a_while;
    complains(rule, &without("PaymentLogGroup/RetentionInDays")?, "PaymentLogGroup")?;
    complains(rule, &without("PaymentFunction/LoggingConfig")?, "PaymentFunction: no log group")?;
    complains(rule, &with("PaymentFunction/LoggingConfig/LogGroup", json!({ "Ref": "InventoryLogGroup" }))?, "no log group of its own")?;
    complains(rule, &with("/Globals/Function/LoggingConfig/LogFormat", json!("Text"))?, "does not log JSON")
}

#[test]
fn an_unlisted_or_unwatched_schedule_is_refused() -> Result<()> {
    let rule = operations::schedules_are_listed_and_watched;
    let event = "DlqInspectorFunction/Events/Digest/Properties";
    complains(rule, &with(&format!("{event}/Schedule"), json!("rate(1 minute)"))?, "rate(1 minute)")?;
    complains(rule, &with(&format!("{event}/Input"), json!("{}"))?, "DlqInspectorFunction")?;
    complains(rule, &without("DlqInspectorFunction/Timeout")?, "Timeout")?;
    complains(rule, &without("DlqInspectorFunction/EventInvokeConfig")?, "is dropped")?;
    complains(rule, &without("/Resources/DlqInspectorErrorsAlarm")?, "no alarm on Errors")?;
    complains(rule, &without("/Resources/DlqInspectorSilentAlarm")?, "does not come")
}

#[test]
fn uncollected_payments_that_nobody_is_told_of_are_refused() -> Result<()> {
    let rule = operations::uncollected_payments_are_counted;
    complains(rule, &without("/Resources/UncollectedFilter")?, "not counted")?;
    complains(rule, &with("UncollectedFilter/LogGroupName", json!({ "Ref": "OperatorLogGroup" }))?, "not counted")?;
    complains(rule, &with("UncollectedFilter/MetricTransformations/0/MetricValue", json!("1"))?, "not counted")?;
    complains(rule, &without("/Resources/UncollectedAlarm")?, "no alarm")?;
    complains(rule, &with("UncollectedAlarm/EvaluationPeriods", json!(4))?, "no alarm")?;
    complains(rule, &with("DlqInspectorFunction/Events/Digest/Properties/Schedule", json!("rate(1 hour)"))?, "no alarm")?;
    complains(rule, &without("PaymentsTable/GlobalSecondaryIndexes")?, "PaymentsTable: no index")
}

#[test]
fn an_inspector_must_reach_dead_letters_and_nothing_else() -> Result<()> {
    let rule = access::consumers_take_from_their_own_queue_only;
    let statements = "DlqInspectorRole/Policies/0/PolicyDocument/Statement";
    complains(rule, &without(&format!("{statements}/3/Resource/0"))?, "PaymentDeadLetterQueue")?;
    complains(rule, &without(&format!("{statements}/5/Resource/0"))?, "PaymentQueue")?;
    complains(rule, &with(&format!("{statements}/3/Resource/-"), json!({ "Fn::GetAtt": ["PaymentQueue", "Arn"] }))?, "PaymentQueue")
}

#[test]
fn an_api_without_throttle_or_with_persons_in_its_log_is_refused() -> Result<()> {
    let rule = operations::apis_are_throttled_and_logged;
    complains(rule, &without("OrderApi/DefaultRouteSettings")?, "OrderApi: not throttled")?;
    let unlimited = "POST /orders is not throttled below the other routes";
    complains(rule, &without("OrderApi/RouteSettings")?, unlimited)?;
    complains(rule, &with("OrderApi/RouteSettings/POST ~1orders/ThrottlingRateLimit", json!(100))?, unlimited)?;
    complains(rule, &with("OrderApi/RouteSettings/POST ~1orders/ThrottlingBurstLimit", json!(220))?, "a burst at POST /orders")?;
    complains(rule, &without("OrderApi/AccessLogSettings")?, "OrderApi: no access log")?;
    let named = r#"{"ip":"$context.identity.sourceIp","route":"$context.routeKey"}"#;
    complains(rule, &with("OrderApi/AccessLogSettings/Format", json!(named))?, "$context.identity")?;
    complains(rule, &with("OrderApi/AccessLogSettings/Format", json!("$context.routeKey"))?, "not JSON")?;
    complains(rule, &with("OrderStatusFunction/Events/ReadOrder/Properties/Method", json!("ANY"))?, "ANY /orders/{order_id}")
}

#[test]
fn an_api_that_admits_pages_by_default_or_by_any_name_is_refused() -> Result<()> {
    let rule = operations::apis_admit_pages_of_named_origins_alone;
    let template = Template::read()?;
    let always = template.at("/Resources/OrderApi/Properties/CorsConfiguration/Fn::If/1");
    complains(rule, &with("OrderApi/CorsConfiguration", always.clone())?, "OrderApi: CorsConfiguration")?;
    complains(rule, &without("OrderApi/CorsConfiguration")?, "OrderApi: CorsConfiguration")?;
    complains(rule, &with("OrderApi/CorsConfiguration", json!(true))?, "OrderApi: CorsConfiguration")?;
    complains(rule, &with("/Parameters/AllowedOrigins/Default", json!("https://example.com"))?, "by default")?;
    complains(rule, &with("/Conditions/AllowsOrigins", json!({"Fn::Equals": [{"Ref": "AllowedOrigins"}, ""]}))?, "AllowsOrigins")?;
    let part = |name: &str| format!("OrderApi/CorsConfiguration/Fn::If/1/{name}");
    complains(rule, &with(&part("AllowOrigins"), json!(["*"]))?, "OrderApi")?;
    complains(rule, &with(&part("AllowCredentials"), json!(true))?, "something else")?;
    complains(rule, &with(&part("AllowHeaders/-"), json!("*"))?, "something else")?;
    complains(rule, &with(&part("AllowMethods"), json!(["GET"]))?, "something else")
}

#[test]
fn origins_are_taken_as_browsers_send_them() -> Result<()> {
    let parameter = Template::read()?.at("/Parameters/AllowedOrigins").clone();
    let validator = jsonschema::validator_for(&json!({"type": "string", "pattern": parameter["AllowedPattern"]}))?;
    for good in ["", "https://shop.example.com", "http://localhost:3000,https://shop.example.com"] {
        assert!(validator.is_valid(&json!(good)), "{good}");
    }
    for bad in [
        "*",
        "shop.example.com",
        "https://shop.example.com/",
        "https://Shop.example.com",
        "https://a.example, https://b.example",
        "https://*",
    ] {
        assert!(!validator.is_valid(&json!(bad)), "{bad}");
    }
    Ok(())
}

#[test]
fn a_queue_that_nobody_watches_is_refused() -> Result<()> {
    let rule = operations::queues_are_watched;
    for alarm in ["PaymentDeadLetterAlarm", "PaymentAgeAlarm", "UndeliveredAlarm", "OrderDeadlineBacklogAlarm", "OrderDeadlineAgeAlarm"] {
        complains(rule, &without(&format!("/Resources/{alarm}"))?, &alarm.replace("Alarm", "").replace("Age", "").replace("Backlog", ""))?;
    }
    complains(rule, &with("PaymentAgeAlarm/Threshold", json!(3600))?, "PaymentQueue")?;
    complains(rule, &with("PaymentDeadLetterAlarm/Threshold", json!(10))?, "PaymentDeadLetterQueue")?;
    complains(rule, &with("PaymentDeadLetterAlarm/MetricName", json!("NumberOfMessagesSent"))?, "PaymentDeadLetterQueue")?;
    complains(rule, &with("PaymentDeadLetterAlarm/EvaluationPeriods", json!(60))?, "PaymentDeadLetterQueue")
}

#[test]
fn an_age_alarm_on_a_delayed_queue_is_refused() -> Result<()> {
    complains(operations::queues_are_watched, &with("OrderDeadlineAgeAlarm/Threshold", json!(900))?, "OrderDeadlineQueue")
}

#[test]
fn a_consumer_or_api_that_nobody_watches_is_refused() -> Result<()> {
    let rule = operations::functions_and_apis_are_watched;
    complains(rule, &without("/Resources/PaymentErrorsAlarm")?, "PaymentFunction: no alarm on Errors")?;
    complains(rule, &without("/Resources/PaymentRetryFilter")?, "PaymentFunction: long retries")?;
    complains(rule, &without("/Resources/InventoryRetriesAlarm")?, "InventoryFunction: long retries")?;
    complains(rule, &with("OrderTrackingRetriesAlarm/MetricName", json!("Retries"))?, "OrderTrackingFunction: long retries")?;
    let shared = with("ShippingRetryFilter/MetricTransformations/0/MetricName", json!("PaymentRetries"))?;
    complains(rule, &shared, "PaymentFunction: long retries")?;
    let rule = operations::refused_captures_are_counted;
    complains(rule, &without("/Resources/CaptureRefusedAlarm")?, "refused captures")?;
    complains(rule, &with("PaymentCaptureRefusedFilter/FilterPattern", json!("{ $.outcome = \"done\" }"))?, "refused captures")?;
    let rule = operations::forwards_that_are_held_back_are_counted;
    complains(rule, &without("/Resources/ForwardsHeldBackAlarm")?, "held back")?;
    complains(rule, &with("ForwardsHeldBackFilter/FilterPattern", json!("{ $.inbound = \"forwarded\" }"))?, "held back")?;
    let rule = operations::to_look_and_to_change_are_two_permissions;
    complains(rule, &without("/Resources/OperatorLookAlias")?, "OperatorFunction: no alias `look`")?;
    complains(rule, &with("DlqInspectorChangeAlias/FunctionVersion", json!("1"))?, "DlqInspectorChangeAlias")?;
    complains(rule, &with("DlqInspectorChangeAlias/FunctionName", json!({ "Ref": "PaymentFunction" }))?, "DlqInspectorChangeAlias")?;
    let rule = operations::mails_that_are_held_back_are_counted;
    complains(rule, &without("/Resources/MailsLimitedAlarm")?, "held back")?;
    complains(rule, &without("/Resources/WelcomeMailsLimitedFilter")?, "WelcomeEmailLogGroup")?;
    complains(rule, &with("OrderMailsLimitedFilter/FilterPattern", json!("{ $.mail = \"limited\" }"))?, "OrderEmailLogGroup")?;
    let rule = operations::what_is_lost_or_throttled_is_watched;
    complains(rule, &without("/Resources/MailEventsLostAlarm")?, "MailEventsTopic")?;
    complains(rule, &without("/Resources/ThrottlesAlarm")?, "Throttles")?;
    let rule = operations::functions_and_apis_are_watched;
    complains(rule, &without("/Resources/OperatorErrorsAlarm")?, "OperatorFunction: no alarm on Errors")?;
    complains(rule, &without("OperatorFunction/Timeout")?, "OperatorFunction: Timeout")?;
    complains(rule, &without("/Resources/OrderApiServerErrorsAlarm")?, "OrderApi")
}

#[test]
fn an_alarm_that_reaches_nobody_is_refused() -> Result<()> {
    let rule = operations::alarms_reach_the_operators;
    complains(rule, &without("PaymentAgeAlarm/AlarmActions")?, "PaymentAgeAlarm")?;
    complains(rule, &with("PaymentAgeAlarm/AlarmActions/0", json!({ "Ref": "OrderEventsTopic" }))?, "PaymentAgeAlarm")?;
    complains(rule, &without("AlertsTopicPolicy/PolicyDocument/Statement/0")?, "PaymentAgeAlarm")?;
    complains(rule, &with("PaymentAgeAlarm/ActionsEnabled", json!(false))?, "PaymentAgeAlarm: is off")?;
    complains(rule, &without("PaymentAgeAlarm/TreatMissingData")?, "PaymentAgeAlarm")?;
    complains(rule, &with("PaymentAgeAlarm/MetricName", json!("NumberOfMessagesSent"))?, "misses what SQS moves")?;
    complains(rule, &with("PaymentAgeAlarm/Dimensions/0/Value", json!("payment"))?, "PaymentAgeAlarm: watches nothing")?;
    complains(rule, &without("/Resources/AlertsEmailSubscription/Condition")?, "AlertsEmailSubscription")
}

#[test]
fn a_resource_that_commands_and_tests_cannot_find_is_refused() -> Result<()> {
    let rule = operations::outputs_name_what_others_need;
    complains(rule, &without("/Outputs/PaymentQueueUrl")?, "PaymentQueueUrl")?;
    complains(rule, &with("/Outputs/OrdersTableName/Value", json!({ "Ref": "StockTable" }))?, "OrdersTableName")
}

#[test]
fn a_stack_or_a_role_that_outgrows_its_limit_is_refused() -> Result<()> {
    let template = Template::read()?;
    let mut grown = template.clone();
    for number in 0..limits::RESOURCES_MAX {
        grown = grown.with(&format!("Queue{number}"), json!({ "Type": "AWS::SQS::Queue" }))?;
    }
    complains(limits::the_stack_fits_cloudformation, &grown, "resources once SAM has transformed it")?;
    let unknown = template.with("/Resources/PaymentFunction/Properties/Events/Odd", json!({ "Type": "MQ" }))?;
    complains(limits::the_stack_fits_cloudformation, &unknown, "PaymentFunction: limits.rs does not know")?;
    let statement = json!({ "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "x".repeat(limits::POLICIES_MAX) });
    let long = with("PaymentRole/Policies/0/PolicyDocument/Statement/-", statement)?;
    complains(limits::the_policies_of_a_role_fit_iam, &long, "PaymentRole: its policies have up to")
}

// ── Beside the template ─────────────────────────────────────────────────────────────────────────────────────────────

fn toml_of(file: &str) -> Result<toml::Table> {
    let path = workspace_root().join(file);
    Ok(std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?.parse()?)
}

#[test]
fn the_release_profile_states_the_panic_policy() -> Result<()> {
    // cargo-lambda injects "abort" where the root manifest is silent, and then no record's panic can be caught.
    assert_eq!(toml_of("Cargo.toml")?["profile"]["release"]["panic"].as_str(), Some("unwind"));
    Ok(())
}

#[test]
fn a_release_panics_where_a_sum_overflows() -> Result<()> {
    // Off in release builds by default, so that a sum of money would wrap round where it ships and panic in every test.
    assert_eq!(toml_of("Cargo.toml")?["profile"]["release"]["overflow-checks"].as_bool(), Some(true));
    Ok(())
}

/// The parameters that an environment of `samconfig.toml` builds and deploys with.
fn overrides(environment: &toml::Value) -> Result<BTreeMap<&str, &str>> {
    let list = environment["global"]["parameters"]["parameter_overrides"].as_array().context("no parameter_overrides")?;
    list.iter().map(|it| it.as_str().and_then(|it| it.split_once('=')).context("not Name=value")).collect()
}

#[test]
fn every_environment_deploys_with_parameters_that_the_template_has() -> Result<()> {
    let (template, config) = (Template::read()?, toml_of("samconfig.toml")?);
    let mut stacks = BTreeSet::new();
    for (name, stage) in [("default", "dev"), ("staging", "staging"), ("prod", "prod"), ("local", "local")] {
        let environment = config.get(name).with_context(|| format!("no environment {name}"))?;
        let overrides = overrides(environment)?;
        assert_eq!(overrides.get("Stage"), Some(&stage), "{name}");
        for (parameter, value) in overrides {
            let declared = &template.at("/Parameters")[parameter];
            assert!(declared.is_object(), "{name}: {parameter} is no parameter of the template");
            let allowed = declared["AllowedValues"].as_array();
            let texts = |it: &Value| it.as_str().map_or_else(|| it.to_string(), str::to_owned);
            assert!(allowed.is_none_or(|allowed| allowed.iter().map(texts).any(|it| it == value)), "{name}: {parameter} cannot be {value}");
        }
        let stack = environment["global"]["parameters"]["stack_name"].as_str().context("no stack_name")?;
        assert!(stacks.insert(stack) && stack.len() <= STACK_NAME_MAX, "{name}: {stack} is taken or too long");
        assert_eq!(environment["deploy"]["parameters"]["capabilities"].as_str(), Some("CAPABILITY_IAM"), "{name}");
    }
    Ok(())
}

#[test]
fn no_command_of_sam_has_parameters_of_its_own() -> Result<()> {
    // Were there two lists, functions could be built for one architecture and deployed for another, on which they do not start.
    for (name, environment) in toml_of("samconfig.toml")?.iter().filter(|(name, _)| *name != "version") {
        for (command, settings) in environment.as_table().with_context(|| format!("{name} is no table"))? {
            let here = settings["parameters"].get("parameter_overrides").is_some();
            assert_eq!(here, command == "global", "{name}.{command}");
        }
    }
    Ok(())
}

#[test]
fn the_clock_runs_in_order_in_every_environment() -> Result<()> {
    let (template, config) = (Template::read()?, toml_of("samconfig.toml")?);
    for (name, environment) in config.iter().filter(|(name, _)| *name != "version") {
        let overrides = overrides(environment)?;
        let seconds = |parameter: &str| -> Result<u64> {
            let default = template.at("/Parameters")[parameter]["Default"].to_string();
            Ok(overrides.get(parameter).copied().unwrap_or(default.trim_matches('"')).parse()?)
        };
        let [nudge, time_out, park] = ["NudgeAfterSeconds", "TimeOutAfterSeconds", "ParkAfterSeconds"].map(seconds);
        let (nudge, time_out, park) = (nudge?, time_out?, park?);
        assert!(nudge < time_out && time_out < park, "{name}: {nudge}, {time_out}, {park}");
    }
    Ok(())
}

/// The values that `Rules` admit for a parameter wherever the stage is not `local`.
fn admitted_on_aws(template: &Template, parameter: &str) -> Result<Vec<u32>> {
    let is_on_aws = json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": "Stage" }, "local"] }] });
    let rules: Vec<_> = template.section("Rules").filter(|(_, rule)| rule["RuleCondition"] == is_on_aws).collect();
    let assertions = rules.iter().flat_map(|(_, rule)| rule["Assertions"].as_array().into_iter().flatten());
    let lists = assertions.filter_map(|it| it["Assert"]["Fn::Contains"].as_array());
    let mut lists = lists.filter(|it| it.get(1) == Some(&json!({ "Ref": parameter }))).filter_map(|it| it[0].as_array());
    let list = lists.next().with_context(|| format!("no rule lists the values of {parameter}"))?;
    list.iter().map(|value| value.as_str().context("not a text")?.parse().context("not a number")).collect()
}

#[test]
fn every_combination_that_a_stack_on_aws_admits_keeps_order_deadline_in_order() -> Result<()> {
    let template = Template::read()?;
    let [nudges, time_outs, parks] =
        ["NudgeAfterSeconds", "TimeOutAfterSeconds", "ParkAfterSeconds"].map(|parameter| admitted_on_aws(&template, parameter));
    let (nudges, time_outs, parks) = (nudges?, time_outs?, parks?);
    assert!(!nudges.is_empty() && !time_outs.is_empty() && !parks.is_empty());
    for nudge in nudges {
        for time_out in &time_outs {
            for park in &parks {
                let clock = order_deadline::deadlines(nudge, *time_out, *park);
                assert!(clock.is_ok(), "{nudge}, {time_out}, {park}: {clock:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_environment_on_aws_has_values_that_its_rules_admit() -> Result<()> {
    let (template, config) = (Template::read()?, toml_of("samconfig.toml")?);
    for (name, environment) in config.iter().filter(|(name, _)| !["version", "local"].contains(&name.as_str())) {
        let overrides = overrides(environment)?;
        for parameter in ["NudgeAfterSeconds", "TimeOutAfterSeconds", "ParkAfterSeconds"] {
            let default = template.at("/Parameters")[parameter]["Default"].to_string();
            let value = overrides.get(parameter).copied().unwrap_or(default.trim_matches('"')).parse()?;
            assert!(admitted_on_aws(&template, parameter)?.contains(&value), "{name}: {parameter} cannot be {value}");
        }
    }
    Ok(())
}
