"""Starts the local engine: MiniStack, with patches for the gaps that this template meets.

Run by `cargo xtask up|demo|test` with an environment made from nothing, because functions inherit all of it.
Each patch has a test in `engine_test.py`, and so has each gap: when a new version closes one, its test says so and
the lines here can go. They rely on private names of one version, so any other version is refused. What is longer than a page
is in a module of its own beside this one.

    python engine.py [--lifeline]
"""

import bisect
import contextvars
import heapq
import importlib.metadata
import itertools
import json
import os
import socketserver
import sys

# The version of requirements.in. After an upgrade run `cargo xtask test --only engine`, patch what it names, change this.
MINISTACK = "1.5.33"

# How root's key begins, which `cargo xtask` draws anew for every start. No key of AWS begins like this.
KEY_BEGINS = "local"


def main() -> None:
    refuse_other_versions()
    refuse_the_real_aws()
    ask_no_proxy()
    if "--lifeline" in sys.argv:
        sys.argv.remove("--lifeline")
        import lifeline

        lifeline.end_with_starter()
    send_at_once()

    import ministack.app
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS
    patch(handlers, "AWS::SNS::Topic", keep_fifo_attributes)
    patch(handlers, "AWS::SNS::Subscription", name_topic)
    patch(handlers, "AWS::ApiGatewayV2::Api", import_routes)
    patch(handlers, "AWS::ApiGatewayV2::Stage", spell_throttles)
    patch(handlers, "AWS::DynamoDB::Table", keep_time_to_live)
    answer_options_as_aws()
    tell_sam_the_parameters()
    simulate_with_context()
    keep_what_a_mail_carries()
    tell_policies_who_mails_whom()
    read_logs_by_fields_and_to_their_end()
    name_log_groups_as_policies_do()
    name_subscriptions_by_their_topic()
    import call_counts
    import callers
    import long_queues
    import move_tasks
    import web_pages

    callers.know_root_by(os.environ["AWS_ACCESS_KEY_ID"])
    ministack.app.app = web_pages.stand_before(callers.stand_before(ministack.app.app))
    long_queues.install()
    move_tasks.install()
    call_counts.install()
    ministack.app.main()


def refuse_other_versions() -> None:
    found = importlib.metadata.version("ministack")
    if found != MINISTACK:
        sys.exit(
            f"local/engine.py patches ministack {MINISTACK}, but {found} is installed. Remove target/local/venv and run the "
            "command again, or, to upgrade, follow the note beside MINISTACK in local/engine.py."
        )


def refuse_the_real_aws() -> None:
    # A function without an endpoint, or with a real key, would talk to a real account.
    if not os.environ.get("AWS_ENDPOINT_URL", "").startswith(("http://127.0.0.1:", "http://localhost:")):
        sys.exit("AWS_ENDPOINT_URL must name the engine itself: functions inherit it and would call AWS. Use `cargo xtask up`.")
    if not os.environ.get("AWS_ACCESS_KEY_ID", "").startswith(KEY_BEGINS) or "AWS_PROFILE" in os.environ:
        sys.exit("The engine's functions inherit its environment: start it without AWS credentials, by `cargo xtask up`.")


def ask_no_proxy() -> None:
    # Functions inherit the environment, and so does what the engine itself calls: all of it is on the loopback interface, which a
    # proxy refuses. `cargo xtask` starts the engine without one; a person who starts it by hand may have one.
    for name in [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy")]:
        del os.environ[name]


def send_at_once() -> None:
    # The Runtime API writes a response's head and body apart. Nagle's algorithm holds the second back until the first is
    # acknowledged, which the function's side delays: 40 ms on every warm invocation.
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True


def patch(handlers: dict, resource_type: str, after) -> None:
    """Calls `after(physical_id, properties)` whenever CloudFormation has created or updated such a resource."""
    handler = handlers[resource_type]
    create, update = handler["create"], handler["update"]

    def created(logical_id, properties, *rest, **named):
        result = create(logical_id, properties, *rest, **named)
        after(result[0], properties)
        return result

    def updated(physical_id, before, properties, *rest, **named):
        result = update(physical_id, before, properties, *rest, **named)
        after(result[0], properties)
        return result

    handlers[resource_type] = {**handler, "create": created, "update": updated}


# ── AWS::SNS::Topic ─────────────────────────────────────────────────────────────────────────────────────────────────────

# What the template may say of a topic and the engine drops. Without the first a FIFO topic does not deduplicate, and its
# subscriptions to FIFO queues are refused.
TOPIC_ATTRIBUTES = ("FifoTopic", "ContentBasedDeduplication", "FifoThroughputScope", "KmsMasterKeyId")


def keep_fifo_attributes(topic_arn: str, properties: dict) -> None:
    from ministack.services import sns

    attributes = sns._topics[topic_arn]["attributes"]
    for name in TOPIC_ATTRIBUTES:
        if name in properties:
            value = properties[name]
            attributes[name] = str(value).lower() if isinstance(value, bool) else str(value)


# ── AWS::SNS::Subscription ──────────────────────────────────────────────────────────────────────────────────────────────


def name_topic(subscription_arn: str, _properties: dict) -> None:
    """Lets a subscription say in its attributes which topic it is to, as AWS's does."""
    from ministack.services import sns

    topic_arn = sns._sub_arn_to_topic[subscription_arn]
    sns._find_subscription(topic_arn, subscription_arn)["attributes"]["TopicArn"] = topic_arn


# ── AWS::ApiGatewayV2::Api ──────────────────────────────────────────────────────────────────────────────────────────────


def import_routes(api_id: str, properties: dict) -> None:
    """Reads the OpenAPI body that SAM writes for `AWS::Serverless::HttpApi`: one integration and one route per operation, and which
    pages of other sites are admitted.

    Authorizers and throttling are left out, because the template has none that a local run could show.
    """
    from ministack.services import apigateway

    body = properties.get("Body") or {}
    paths = body.get("paths")
    if not paths:
        return
    # Without it none are: also after an update that took it away.
    apigateway._apis[api_id].pop("corsConfiguration", None)
    if body.get("x-amazon-apigateway-cors"):
        apigateway._apis[api_id]["corsConfiguration"] = body["x-amazon-apigateway-cors"]
    # From scratch, so that a route that left the template is gone after an update.
    apigateway._routes[api_id] = {}
    apigateway._integrations[api_id] = {}
    for path, operations in paths.items():
        for method, operation in operations.items():
            integration = operation.get("x-amazon-apigateway-integration")
            if integration is None:
                continue
            made = answer(
                apigateway._create_integration(
                    api_id,
                    {
                        "integrationType": integration["type"].upper(),
                        "integrationUri": integration["uri"],
                        "integrationMethod": integration.get("httpMethod", "POST"),
                        "payloadFormatVersion": integration["payloadFormatVersion"],
                    },
                )
            )
            answer(
                apigateway._create_route(
                    api_id,
                    {"routeKey": f"{method.upper()} {path}", "target": f"integrations/{made['integrationId']}"},
                )
            )


def answer_options_as_aws() -> None:
    """Without CORS nothing is special about OPTIONS: there is no such route, which is 404. With it, API Gateway answers every preflight,
    and what an origin that is not named gets lacks the headers, which is what a browser refuses. The engine says 403 to both.
    (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html)

    A page of another site does not get this far: `web_pages.py` refuses it. Programs do."""
    from ministack.services import apigateway

    preflight = apigateway._cors_preflight_response

    def answered(cors: dict, origin: str) -> tuple:
        if not cors:
            return apigateway._http_api_not_found()
        made = preflight(cors, origin)
        return made if made[0] == 204 else (204, {"Content-Length": "0"}, b"")

    apigateway._cors_preflight_response = answered


def tell_sam_the_parameters() -> None:
    """SAM writes some parameters into what it makes, such as the origins of an API. CloudFormation hands it their values; the engine
    hands it none, and SAM takes the defaults."""
    from ministack.services.cloudformation import changesets, engine, handlers
    from samtranslator.translator import transform

    apply, translate = engine._apply_transforms, transform.transform
    values = contextvars.ContextVar("values", default={})

    def applied(template, provided_params=None, previous_params=None):
        before = values.set(engine._transform_parameters(template, provided_params, previous_params))
        try:
            return apply(template, provided_params, previous_params)
        finally:
            values.reset(before)

    for module in (changesets, engine, handlers):
        module._apply_transforms = applied
    transform.transform = lambda template, _none, policies: translate(template, values.get(), policies)


# ── AWS::ApiGatewayV2::Stage ────────────────────────────────────────────────────────────────────────────────────────────


def spell_throttles(stage_name: str, properties: dict) -> None:
    """Spells the limits of a stage as its own API does, so that they can be read back. The engine keeps the template's capitals, and
    throttles nobody either way."""
    from ministack.services import apigateway

    def spelt(settings) -> dict:
        return {name[:1].lower() + name[1:]: value for name, value in (settings or {}).items()}

    stage = apigateway._stages[properties["ApiId"]][stage_name]
    stage["defaultRouteSettings"] = spelt(properties.get("DefaultRouteSettings"))
    stage["routeSettings"] = {route: spelt(settings) for route, settings in (properties.get("RouteSettings") or {}).items()}


# ── AWS::DynamoDB::Table ────────────────────────────────────────────────────────────────────────────────────────────────


def keep_time_to_live(table_name: str, properties: dict) -> None:
    """Rows expire where the template says so, which the engine drops."""
    from ministack.services import dynamodb

    specification = properties.get("TimeToLiveSpecification")
    if specification:
        answer(dynamodb._update_ttl({"TableName": table_name, "TimeToLiveSpecification": specification}))


def answer(response: tuple) -> dict:
    """The body of one of the engine's own answers; a refusal fails the stack, as it would on AWS."""
    status, _headers, body = response
    if status >= 400:
        raise ValueError(f"the resource could not be made: {body!r}")
    return json.loads(body)


# ── SES ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

# The engine grants 14 mails a second, as SES does a young account. Nobody waits here for a reputation to grow.
SEND_RATE = 500.0


def keep_what_a_mail_carries() -> None:
    """The engine keeps sender, recipients, subject and bodies of a mail; this adds its headers, reply addresses, tags and
    configuration set, so that a test can look at them."""
    import ministack.app
    from ministack.services import ses, ses_v2

    handle = ses_v2.handle_request

    async def handled(method, path, headers, body, query_params):
        answer = await handle(method, path, headers, body, query_params)
        if answer[0] != 200:
            return answer
        operation = (method, path.rstrip("/").rpartition("/")[2])
        if operation == ("GET", "account"):
            said = json.loads(answer[2])
            said["SendQuota"]["MaxSendRate"] = SEND_RATE
            return answer[0], answer[1], json.dumps(said).encode()
        if operation in (("POST", "outbound-emails"), ("POST", "outbound-bulk-emails")):
            asked, said = json.loads(body), json.loads(answer[2])
            ids = [said.get("MessageId")] + [entry.get("MessageId") for entry in said.get("BulkEmailEntryResults", [])]
            entries = [{}] + asked.get("BulkEmailEntries", [])
            kept = {mail["MessageId"]: mail for mail in ses._sent_emails_list()[-len(ids) :]}
            for message_id, entry in zip(ids, entries):
                if message_id in kept:
                    kept[message_id].update(carried(asked, entry))
        return answer

    ses_v2.handle_request = handled
    show = ministack.app._handle_ses_messages_request

    async def shown(method, path, headers, query_params):
        answer = await show(method, path, headers, query_params)
        if answer is None or answer[0] != 200:
            return answer
        said = json.loads(answer[2])
        kept = {mail["MessageId"]: mail for mails in ses._sent_emails.to_dict().values() for mail in mails}
        for mails in said["messages"].values():
            for mail in mails:
                mail.update({name: kept[mail["MessageId"]].get(name) for name in CARRIED})
        return answer[0], answer[1], json.dumps(said).encode()

    ministack.app._handle_ses_messages_request = shown


def tell_policies_who_mails_whom() -> None:
    """A policy may ask from whom to whom a SendEmail is. Not a SendBulkEmail, for which AWS has no such keys, and which needs the
    permission of SendBulkTemplatedEmail as well; and not of the return path, which no mail of ours names.
    (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsimpleemailservicev2.html)"""
    import ministack.app as app
    from ministack.core import iam_actions

    enforce = app._enforce_ses_v2

    def enforced(method, path, headers, body, query_params, request_id):
        action = iam_actions.extract_iam_action("ses", method, path, headers, body, query_params)
        # The engine knows no other resource of a mail.
        about = {"resource_arn": "*", "named_resource": "*"}
        if action == "ses:SendBulkEmail" and app.AUTH:
            denied = enforce(method, path, headers, body, query_params, request_id)
            by_its_first_name = "ses:SendBulkTemplatedEmail"
            return denied or app._enforce_data_plane("sesv2", by_its_first_name, headers, query_params, request_id, **about)
        if action != "ses:SendEmail" or not app.AUTH:
            return enforce(method, path, headers, body, query_params, request_id)
        about["service_context"] = from_whom_to_whom(body)
        return app._enforce_data_plane("sesv2", action, headers, query_params, request_id, **about)

    app._enforce_ses_v2 = enforced


def from_whom_to_whom(body: bytes) -> dict:
    try:
        asked = json.loads(body)
        name, sender = name_and_address(asked.get("FromEmailAddress") or "")
        destination = asked.get("Destination") or {}
        recipients = [to for kind in ("To", "Cc", "Bcc") for to in destination.get(f"{kind}Addresses") or []]
    except (ValueError, AttributeError, TypeError):
        # No mail: the engine refuses it once it is allowed.
        return {}
    bare = [name_and_address(to)[1] for to in recipients]
    keys = {"ses:FromAddress": sender, "ses:FromDisplayName": name, "ses:Recipients": bare}
    return {key: value for key, value in keys.items() if value}


def name_and_address(text: str) -> tuple:
    """What stands in angle brackets at the end is the address, whatever the name before it looks like."""
    name, bracket, rest = text.strip().rpartition("<")
    return (name.strip(), rest[:-1]) if bracket and rest.endswith(">") else ("", text.strip())


CARRIED = ("Headers", "ReplyTo", "Tags", "ConfigurationSetName")


def carried(asked: dict, entry: dict) -> dict:
    content = asked.get("Content") or asked.get("DefaultContent") or {}
    whole = (content.get("Simple") or content.get("Template") or {}).get("Headers") or []
    return {
        "Headers": whole + (entry.get("ReplacementHeaders") or []),
        "ReplyTo": asked.get("ReplyToAddresses") or [],
        "Tags": (asked.get("EmailTags") or asked.get("DefaultEmailTags") or []) + (entry.get("ReplacementTags") or []),
        "ConfigurationSetName": asked.get("ConfigurationSetName", ""),
    }


# ── IAM ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def simulate_with_context() -> None:
    """A dry call has the condition keys and all the resources that it names; the engine knows the first resource and no key.
    (https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html)"""
    from ministack.core import iam_evaluator
    from ministack.services import iam

    extract = iam._extract_simulate_params
    decisions = {"Allow": "allowed", "Deny": "explicitDeny"}
    asked = contextvars.ContextVar("what is simulated")

    def extracted(p):
        keys = {}
        for entry in numbered(p, "ContextEntries.member.{}.ContextKeyName"):
            values = list(numbered_values(p, f"{entry}.ContextKeyValues.member.{{}}"))
            several = iam._p(p, f"{entry}.ContextKeyType").endswith("List")
            keys[iam._p(p, f"{entry}.ContextKeyName").lower()] = values if several else (values + [""])[0]
        asked.set((list(numbered_values(p, "ResourceArns.member.{}")) or ["*"], keys))
        return extract(p)

    def numbered(p, pattern):
        for number in itertools.takewhile(lambda n: iam._p(p, pattern.format(n)), itertools.count(1)):
            yield pattern.format(number).rpartition(".")[0]

    def numbered_values(p, pattern):
        return itertools.takewhile(bool, (iam._p(p, pattern.format(n)) for n in itertools.count(1)))

    def results(actions, _resource_arn, principal_arn, account_id, policies):
        resources, keys = asked.get()
        members = ""
        for action, resource in itertools.product(actions, resources):
            context = iam_evaluator.EvalContext(
                principal_arn=principal_arn,
                principal_type="AssumedRole",
                principal_account=account_id,
                action=action,
                resource_arn=resource,
                region=iam.get_region(),
                service_context=keys,
            )
            decision = decisions.get(iam_evaluator.evaluate(context, policies).decision, "implicitDeny") if policies else "implicitDeny"
            members += (
                f"<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{resource}</EvalResourceName>"
                f"<EvalDecision>{decision}</EvalDecision></member>"
            )
        return members

    iam._extract_simulate_params = extracted
    iam._build_simulate_results_real = results


# ── CloudWatch Logs ─────────────────────────────────────────────────────────────────────────────────────────────────────

# Most of a page, both as CloudWatch Logs has it. The engine ends every log after the first page.
PAGE_EVENTS = 10_000
PAGE_BYTES = 1024 * 1024


def name_log_groups_as_policies_do() -> None:
    """Permissions for a log group are compared with its ARN with `:*`, which is what `Arn` of a log group is in a template."""
    from ministack.core import iam_actions

    extract = iam_actions.extract_resource_arn

    def extracted(service, *rest):
        arn = extract(service, *rest)
        return f"{arn}:*" if service == "logs" and ":log-group:" in arn and not arn.endswith(":*") else arn

    iam_actions.extract_resource_arn = extracted


def name_subscriptions_by_their_topic() -> None:
    """A permission to read a subscription is compared with its topic, the one type of resource that SNS has. The engine asks for `*`."""
    from ministack.core import iam_actions

    extract = iam_actions.extract_resource_arn

    def extracted(service, method, path, headers, body, query_params, *rest):
        arn = extract(service, method, path, headers, body, query_params, *rest)
        subscription = iam_actions._query_param(query_params, "SubscriptionArn") if service == "sns" and arn == "*" else None
        return subscription.rpartition(":")[0] if subscription else arn

    iam_actions.extract_resource_arn = extracted


def read_logs_by_fields_and_to_their_end() -> None:
    """FilterLogEvents: patterns over fields are read, and what does not fit on a page is on the next.

    Metric and subscription filters do not come by here; newest first (`startFromHead`) stays unheard, as in the engine.
    """
    import log_pattern
    from ministack.services import cloudwatch_logs as logs

    filter_or_refuse = logs._filter_log_events

    def refused(message):
        return logs.error_response_json("InvalidParameterException", message, 400)

    def filtered(data):
        group = logs._log_groups.get(logs._resolve_log_group_name(data))
        if group is None:
            return filter_or_refuse(data)
        pattern = (data.get("filterPattern") or "").strip()
        if len(pattern) > log_pattern.CHARACTERS_MAX:
            return refused(f"filterPattern must have length less than or equal to {log_pattern.CHARACTERS_MAX}")
        try:
            matches = log_pattern.compiled(pattern) if pattern.startswith("{") else logs._compile_filter_pattern(pattern)
        except ValueError:
            return refused("Invalid filter pattern")
        try:
            # A time, and how many events of it were on earlier pages: right also where the log has grown since.
            since, seen = map(int, (data.get("nextToken") or f"{data.get('startTime') or 0}:0").split(":"))
        except ValueError:
            return refused("The specified nextToken is invalid.")

        page, size, token = [], 0, None
        found = (event for event in in_order(group["streams"], data, since) if matches(event["message"]))
        for event in itertools.islice(found, seen, None):
            size += len(event["message"].encode())
            if len(page) == min(data.get("limit") or PAGE_EVENTS, PAGE_EVENTS) or (page and size > PAGE_BYTES):
                last = page[-1]["timestamp"]
                token = f"{last}:{sum(event['timestamp'] == last for event in page) + (seen if last == since else 0)}"
                break
            page.append(event)
        return logs.json_response({"events": page, "searchedLogStreams": [], **({"nextToken": token} if token else {})})

    def in_order(streams, data, since):
        until = data.get("endTime")
        prefix = data.get("logStreamNamePrefix") or ""
        names = data.get("logStreamNames") or [name for name in list(streams) if name.startswith(prefix)]

        def of_stream(name, history):
            first = bisect.bisect_left(history, since, key=logs._event_timestamp)
            for event in itertools.islice(history, first, None):
                if until is not None and event["timestamp"] > until:
                    return
                yield {**event, "logStreamName": name}

        # Functions log from threads of their own; a stream's list only grows, or is replaced.
        with logs._log_events_lock:
            histories = [(name, streams[name]["events"]) for name in names if name in streams]
        return heapq.merge(
            *(of_stream(*named) for named in histories), key=lambda event: (event["timestamp"], event.get("ingestionTime", 0))
        )

    logs._filter_log_events = filtered


if __name__ == "__main__":
    main()
