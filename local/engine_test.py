"""Contract tests of the local engine: what the project relies on, and each gap that `engine.py` patches.

Run by `cargo xtask test --only engine`. A test of the class `Gaps` fails when a new version of the engine closes a gap: then
its patch can go from `engine.py`. They start their own engines on free ports and speak to nothing else.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest
import unittest.mock
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from ministack.services import sns, sqs

import long_queues

HERE = Path(__file__).parent
# Booting takes half a second; a busy machine takes longer.
START_SECONDS = 60
# Root's key, as a start of the engine draws one.
ROOT = "local" + os.urandom(16).hex()
# Everything here is in memory; what takes longer hangs.
WAIT_SECONDS = 30
# What one SendBulkEmail needs.
BULK = ["ses:SendBulkEmail", "ses:SendBulkTemplatedEmail"]

# A function without a compiler: a custom runtime is any program that speaks the Runtime API. It reports the messages that say
# "fail", takes its time over those that say "hold", publishes when it is asked to, and prints a line, because a silent handler
# costs 50 ms more.
BOOTSTRAP = """#!%s
import http.client, json, os, time
runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    runtime.request("GET", "/2018-06-01/runtime/invocation/next")
    response = runtime.getresponse()
    event, request_id = json.loads(response.read()), response.headers["Lambda-Runtime-Aws-Request-Id"]
    invoked = response.headers["Lambda-Runtime-Invoked-Function-Arn"]
    bodies = [r["body"] for r in event.get("Records", [])]
    print(json.dumps({"level": "INFO", "handled": request_id, "bodies": bodies}), flush=True)
    if "Records" in event:
        time.sleep(0.5 if any("hold" in body for body in bodies) else 0)
        failed = [r["messageId"] for r in event["Records"] if "fail" in r["body"]]
        answer = {"batchItemFailures": [{"itemIdentifier": i} for i in failed]}
    else:
        answer = {"statusCode": 202, "body": json.dumps({
            "parameters": event.get("pathParameters"),
            "invoked": invoked,
            "endpoint": os.environ.get("AWS_ENDPOINT_URL"),
            "proxies": [name for name in os.environ if name.lower().endswith("_proxy")]})}
    runtime.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", json.dumps(answer))
    runtime.getresponse().read()
"""

# As template.yaml writes it.
CORS = {
    "AllowOrigins": {"Fn::Split": [",", {"Ref": "AllowedOrigins"}]},
    "AllowMethods": ["GET", "POST"],
    "AllowHeaders": ["content-type", "idempotency-key"],
    "ExposeHeaders": ["location"],
    "MaxAge": 600,
}

TEMPLATE = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Transform": "AWS::Serverless-2016-10-31",
    "Parameters": {"AllowedOrigins": {"Type": "String", "Default": ""}},
    "Conditions": {"AllowsOrigins": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AllowedOrigins"}, ""]}]}},
    "Resources": {
        "Api": {
            "Type": "AWS::Serverless::HttpApi",
            "Properties": {
                "DefaultRouteSettings": {"ThrottlingRateLimit": 7, "ThrottlingBurstLimit": 70},
                "CorsConfiguration": {"Fn::If": ["AllowsOrigins", CORS, {"Ref": "AWS::NoValue"}]},
            },
        },
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
                },
                "Policies": [
                    {
                        "PolicyName": "publish",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": [{"Effect": "Allow", "Action": "sns:Publish*", "Resource": {"Ref": "Topic"}}],
                        },
                    }
                ],
            },
        },
        "LogGroup": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 1}},
        "Function": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": "provided.al2023",
                "Handler": "bootstrap",
                "CodeUri": "s3://code/function.zip",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "LoggingConfig": {"LogGroup": {"Ref": "LogGroup"}, "LogFormat": "JSON"},
                "Events": {
                    "Place": {"Type": "HttpApi", "Properties": {"ApiId": {"Ref": "Api"}, "Method": "POST", "Path": "/orders"}},
                    "Read": {"Type": "HttpApi", "Properties": {"ApiId": {"Ref": "Api"}, "Method": "GET", "Path": "/orders/{order_id}"}},
                    "Queue": {
                        "Type": "SQS",
                        "Properties": {
                            "Queue": {"Fn::GetAtt": ["Queue", "Arn"]},
                            "FunctionResponseTypes": ["ReportBatchItemFailures"],
                        },
                    },
                },
            },
        },
        "Topic": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"TopicName": "events.fifo", "FifoTopic": True, "FifoThroughputScope": "MessageGroup"},
        },
        "TopicPolicy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {
                "Topics": [{"Ref": "Topic"}],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "sns:Publish",
                            "Resource": {"Ref": "Topic"},
                            "Condition": {"StringNotEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}},
                        }
                    ],
                },
            },
        },
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 2}},
        "Heard": {"Type": "AWS::SQS::Queue"},
        "HeardPolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "Heard"}],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "sns.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": {"Fn::GetAtt": ["Heard", "Arn"]},
                            "Condition": {"ArnEquals": {"aws:SourceArn": {"Ref": "Topic"}}},
                        }
                    ],
                },
            },
        },
        "Subscription": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": {"Ref": "Topic"},
                "Protocol": "sqs",
                "Endpoint": {"Fn::GetAtt": ["Heard", "Arn"]},
                "RawMessageDelivery": True,
                "FilterPolicy": {"type": [{"prefix": "order.placed."}]},
            },
        },
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
                "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("order_id", "unsettled", "uncollected_at")],
                "KeySchema": [{"AttributeName": "order_id", "KeyType": "HASH"}],
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": "unsettled",
                        "KeySchema": [{"AttributeName": "unsettled", "KeyType": "HASH"}, {"AttributeName": "uncollected_at", "KeyType": "RANGE"}],
                        "Projection": {"ProjectionType": "ALL"},
                    }
                ],
            },
        },
    },
    "Outputs": {name: {"Value": {"Ref": name}} for name in ("Api", "Function", "Topic", "Queue", "Heard", "Table", "Role", "LogGroup", "Subscription")},
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, seconds=WAIT_SECONDS):
    """Calls `what` until it answers something, and returns that."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain")
        time.sleep(0.02)
    return answer


def answer(url: str, method: str, headers: dict | None = None) -> tuple:
    """The status, whichever it is, and the body."""
    request = urllib.request.Request(url, method=method, headers=headers or {}, data=b"{}" if method == "POST" else None)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def signed_by(key) -> dict:
    """The header of a request that names `key`, with a signature that is none."""
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none"}


class Engine:
    """An engine of a test's own, started as `cargo xtask` starts it. `patched=False` starts it without engine.py."""

    def __init__(self, *arguments, patched=True, **popen):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "AUTH": "true",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ROOT,
            "AWS_SECRET_ACCESS_KEY": ROOT,
            "AWS_DEFAULT_REGION": "us-east-1",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": "unix:///nonexistent.sock",
            "PYTHONDONTWRITEBYTECODE": "1",
            # A company's, which refuses 127.0.0.1: nothing listens on port 9.
            "http_proxy": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
        }
        how = [str(HERE / "engine.py"), *arguments] if patched else ["-c", "import ministack.app; ministack.app.main()"]
        self.process = subprocess.Popen(
            [sys.executable, *how],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **{"stdin": subprocess.DEVNULL, **popen},
        )
        until(self.answers, START_SECONDS)

    def answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/_ministack/health").status == 200
        except OSError:
            assert self.process.poll() is None, "the engine ended while it started"
            return False

    def page(self, path):
        """A page of the engine that AWS has not."""
        return urllib.request.urlopen(urllib.request.Request(self.url + path, headers=signed_by(ROOT)))

    def client(self, service, key=ROOT, secret=ROOT):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def deploy(self) -> dict:
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            program = zipfile.ZipInfo("bootstrap")
            program.external_attr = 0o755 << 16
            archive.writestr(program, BOOTSTRAP % sys.executable)
        s3 = self.client("s3")
        s3.create_bucket(Bucket="code")
        s3.put_object(Bucket="code", Key="function.zip", Body=code.getvalue())
        stacks = self.client("cloudformation")
        stacks.create_stack(StackName="contract", TemplateBody=json.dumps(TEMPLATE), Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"])
        stack = until(lambda: next((s for s in stacks.describe_stacks()["Stacks"] if not s["StackStatus"].endswith("PROGRESS")), None))
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def http(self, outputs, method, path) -> tuple:
        return answer(f"{self.url}/_aws/execute-api/{outputs['Api']}/$default{path}", method)

    def members(self) -> list:
        """The living processes of the engine's group: itself and its functions."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _parent, group = stat.read_text().rsplit(") ", 1)[1].split()[:3]
            except OSError:
                continue
            if int(group) == self.process.pid and state != "Z":
                found.append(stat)
        return found

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class OfAnEngine(unittest.TestCase):
    patched = True

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(patched=cls.patched)
        cls.addClassCleanup(cls.engine.stop)
        cls.outputs = cls.engine.deploy()

    def subscription_attributes(self) -> dict:
        arn = self.outputs["Subscription"]
        return self.engine.client("sns").get_subscription_attributes(SubscriptionArn=arn)["Attributes"]

    def sent_mail(self) -> dict:
        """A mail with everything that ours have, as the engine shows it afterwards."""
        part = lambda text: {"Data": text, "Charset": "UTF-8"}
        self.engine.client("sesv2").create_email_identity(EmailIdentity="example.com")
        answer = self.engine.client("sesv2").send_email(
            FromEmailAddress="orders@example.com",
            Destination={"ToAddresses": ["ada@example.com"]},
            ReplyToAddresses=["orders+1@example.com"],
            EmailTags=[{"Name": "template", "Value": "hello"}],
            Content={
                "Simple": {
                    "Subject": part("Hello"),
                    "Body": {"Text": part("text"), "Html": part("<p>html</p>")},
                    "Headers": [{"Name": "Auto-Submitted", "Value": "auto-generated"}],
                }
            },
        )
        return self.mail(answer["MessageId"])

    def mail(self, message_id: str) -> dict:
        with self.engine.page("/_ministack/ses/messages") as response:
            shown = json.load(response)
        mails = [mail for account in shown["messages"].values() for mail in account]
        return next(mail for mail in mails if mail["MessageId"] == message_id)

    def queue(self, name: str, **attributes) -> tuple:
        """The URL and the ARN of a queue that is made for this."""
        sqs = self.engine.client("sqs")
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def dead_letter_queue(self, name: str, fifo=False) -> tuple:
        """A queue that redrives at the second receive, and its dead-letter queue: two URLs, two ARNs."""
        end, attributes = (".fifo", {"FifoQueue": "true"}) if fifo else ("", {})
        dead, dead_arn = self.queue(f"{name}-dead{end}", **attributes)
        redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1})
        source, source_arn = self.queue(f"{name}{end}", RedrivePolicy=redrive, **attributes)
        return source, dead, source_arn, dead_arn

    def log(self, group: str, stream: str, *events) -> None:
        """Writes (time, message) pairs."""
        logs = self.engine.client("logs")
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        for first in range(0, len(events), 10_000):
            written = [{"timestamp": at, "message": message} for at, message in events[first : first + 10_000]]
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=written)

    def log_group(self, name: str) -> str:
        self.engine.client("logs").create_log_group(logGroupName=name)
        return name

    def client_of_role(self, service: str):
        """A client with the permissions of the function's role."""
        role_arn = self.engine.client("iam").get_role(RoleName=self.outputs["Role"])["Role"]["Arn"]
        credentials = self.engine.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="contract")["Credentials"]
        # The session's token is what names the role.
        session = boto3.Session(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"], region_name="us-east-1")
        return session.client(service, endpoint_url=self.engine.url)

    def may_read_log(self) -> bool:
        """Whether a permission on `Arn` of a log group, as a template gives it, allows reading the log."""
        iam, group, role = self.engine.client("iam"), self.log_group("guarded"), self.outputs["Role"]
        arn = self.engine.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["arn"]
        self.assertTrue(arn.endswith(":guarded:*"), arn)
        statement = {"Effect": "Allow", "Action": "logs:FilterLogEvents", "Resource": arn}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=role, PolicyName="read", PolicyDocument=document)
        self.addCleanup(iam.delete_role_policy, RoleName=role, PolicyName="read")
        try:
            self.client_of_role("logs").filter_log_events(logGroupName=group)
        except ClientError as error:
            self.assertEqual(error.response["Error"]["Code"], "AccessDeniedException")
            return False
        return True

    def may_read_subscription(self) -> bool:
        """Whether a permission for a topic allows reading a subscription to it."""
        iam, role, topic = self.engine.client("iam"), self.outputs["Role"], self.outputs["Topic"]
        statement = {"Effect": "Allow", "Action": "sns:GetSubscriptionAttributes", "Resource": topic}
        iam.put_role_policy(RoleName=role, PolicyName="read", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        self.addCleanup(iam.delete_role_policy, RoleName=role, PolicyName="read")
        arn = self.engine.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]["SubscriptionArn"]
        try:
            self.client_of_role("sns").get_subscription_attributes(SubscriptionArn=arn)
        except ClientError as error:
            self.assertEqual(error.response["Error"]["Code"], "AuthorizationError")
            return False
        return True

    def admit(self, stacks, origins: str):
        parameters = [{"ParameterKey": "AllowedOrigins", "ParameterValue": origins}]
        how = {"TemplateBody": json.dumps(TEMPLATE), "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]}
        stacks.update_stack(StackName="contract", Parameters=parameters, **how)
        stack = until(lambda: next((s for s in stacks.describe_stacks()["Stacks"] if not s["StackStatus"].endswith("PROGRESS")), None))
        self.assertEqual(stack["StackStatus"], "UPDATE_COMPLETE")

    def preflight(self, origin: str, method="OPTIONS") -> tuple:
        url = f"{self.engine.url}/_aws/execute-api/{self.outputs['Api']}/$default/orders"
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        body = b"{}" if method == "POST" else None
        with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers, data=body)) as response:
            return response.status, response.headers

    def limits(self) -> dict:
        stage = self.engine.client("apigatewayv2").get_stage(ApiId=self.outputs["Api"], StageName="$default")
        return stage["DefaultRouteSettings"]

    def time_to_live(self) -> str:
        table = self.engine.client("dynamodb").describe_time_to_live(TableName=self.outputs["Table"])
        return table["TimeToLiveDescription"]["TimeToLiveStatus"]

    def proxies(self) -> list:
        answer = self.engine.client("lambda").invoke(FunctionName=self.outputs["Function"], Payload=b"{}")
        return json.loads(json.load(answer["Payload"])["body"])["proxies"]

    def dry_call(self, sender, *resources) -> list:
        """What IAM says of a mail from `sender` by a user who may mail from one address."""
        iam = self.engine.client("iam")
        name = "dry" + os.urandom(4).hex()
        user = iam.create_user(UserName=name)["User"]["Arn"]
        allowed = {"Effect": "Allow", "Action": "ses:SendEmail", "Resource": "*", "Condition": {"StringEquals": {"ses:FromAddress": "orders@example.com"}}}
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
        entry = {"ContextKeyName": "ses:FromAddress", "ContextKeyValues": [sender], "ContextKeyType": "string"}
        asked = {"ActionNames": ["ses:SendEmail"], "ResourceArns": list(resources), "ContextEntries": [entry]}
        results = iam.simulate_principal_policy(PolicySourceArn=user, **asked)["EvaluationResults"]
        return [result["EvalDecision"] for result in results]

    def may_mail(self, condition: dict, sender="Shop <orders@example.com>", to=("support@example.com",), bulk=()) -> bool:
        """Whether a permission under a condition allows sending such a mail; or a bulk mail, with the actions named."""
        iam, role, ses = self.engine.client("iam"), self.outputs["Role"], self.engine.client("sesv2")
        ses.create_email_identity(EmailIdentity="example.com")
        statement = {"Effect": "Allow", "Action": list(bulk) or "ses:SendEmail", "Resource": "*", "Condition": condition}
        iam.put_role_policy(RoleName=role, PolicyName="mail", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        part, mine = {"Data": "text", "Charset": "UTF-8"}, self.client_of_role("sesv2")
        try:
            if bulk:
                content = {"Template": {"TemplateContent": {"Subject": "s", "Text": "t", "Html": "h"}, "TemplateData": "{}"}}
                entries = [{"Destination": {"ToAddresses": [address]}} for address in to]
                mine.send_bulk_email(FromEmailAddress=sender, DefaultContent=content, BulkEmailEntries=entries)
            else:
                content = {"Simple": {"Subject": part, "Body": {"Text": part}}}
                mine.send_email(FromEmailAddress=sender, Destination={"ToAddresses": list(to)}, Content=content)
        except ClientError as error:
            self.assertIn("AccessDenied", error.response["Error"]["Code"])
            return False
        finally:
            iam.delete_role_policy(RoleName=role, PolicyName="mail")
        return True

    def messages(self, queue) -> int:
        return sum(self.depths(queue))

    def depths(self, queue) -> tuple:
        """How many messages wait, and how many are in flight."""
        attributes = self.engine.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"]), int(attributes["ApproximateNumberOfMessagesNotVisible"])

    def fifo_mapping(self, name: str, batch_size: int) -> str:
        """A FIFO queue that the function reads, three batches at a time."""
        queue, arn = self.queue(f"{name}.fifo", FifoQueue="true")
        functions = self.engine.client("lambda")
        scaling = {"MaximumConcurrency": 3}
        made = functions.create_event_source_mapping(
            FunctionName=self.outputs["Function"], EventSourceArn=arn, BatchSize=batch_size, ScalingConfig=scaling
        )
        self.addCleanup(functions.delete_event_source_mapping, UUID=made["UUID"])
        return queue

    def send_to_groups(self, queue: str, *messages) -> None:
        """Sends (group, body) pairs."""
        for place, (group, body) in enumerate(messages):
            self.engine.client("sqs").send_message(
                QueueUrl=queue, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=str(place)
            )

    def most_in_flight(self, name: str) -> int:
        """How many of three messages of three groups, one a batch, are ever in flight together."""
        queue, seen = self.fifo_mapping(name, batch_size=1), [0]
        self.send_to_groups(queue, *((group, "hold") for group in "abc"))

        def are_done():
            waiting, in_flight = self.depths(queue)
            seen.append(in_flight)
            return waiting + in_flight == 0

        until(are_done)
        return max(seen)

    def warm_invocation_ms(self) -> float:
        """The median of ten, after the first, which starts the function."""
        invoke = self.engine.client("lambda").invoke
        took = []
        for _ in range(11):
            began = time.monotonic()
            invoke(FunctionName=self.outputs["Function"], Payload=b'{"rawPath": "/"}')
            took.append((time.monotonic() - began) * 1000)
        return sorted(took[1:])[5]


# What a browser adds to a request of a page of another site, of a page that is a file, and of a page whose name resolves to this machine.
FOREIGN = [
    {"Origin": "https://page.example"},
    {"Origin": "null"},
    {"Origin": "http://192.0.2.7"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Host": "page.example"},
    {"Host": "localhost.page.example"},
    {"Origin": "http://127.0.0.1.page.example"},
]


class Gaps(OfAnEngine):
    """The engine without engine.py. A test that fails here is good news: see the head of this file."""

    patched = False

    def test_routes_of_an_http_api_are_not_imported(self):
        self.assertEqual(self.engine.http(self.outputs, "POST", "/orders")[0], 404)

    def test_the_usual_key_an_account_and_no_key_are_root(self):
        for key in ("test", "000000000000"):
            self.engine.client("s3", key, key).list_buckets()
        self.assertEqual(answer(f"{self.engine.url}/_ministack/ses/messages", "GET")[0], 200)

    def test_a_web_page_is_answered(self):
        self.assertEqual(answer(f"{self.engine.url}/_ministack/health", "GET", FOREIGN[0])[0], 200)

    def test_a_preflight_is_403_where_no_page_is_admitted(self):
        self.assertEqual(self.engine.http(self.outputs, "OPTIONS", "/orders")[0], 403)

    def test_fifo_attributes_of_a_topic_are_dropped(self):
        attributes = self.engine.client("sns").get_topic_attributes(TopicArn=self.outputs["Topic"])["Attributes"]
        self.assertNotIn("FifoTopic", attributes)

    def test_the_limits_of_a_stage_cannot_be_read_back(self):
        self.assertEqual(self.limits(), {})

    def test_time_to_live_of_a_template_is_dropped(self):
        self.assertEqual(self.time_to_live(), "DISABLED")

    def test_a_dry_call_knows_no_key(self):
        self.assertEqual(self.dry_call("orders@example.com", "*"), ["implicitDeny"])

    def test_functions_inherit_a_proxy(self):
        self.assertIn("http_proxy", self.proxies())

    def test_a_subscription_does_not_name_its_topic(self):
        self.assertNotIn("TopicArn", self.subscription_attributes())

    def test_no_policy_is_told_who_mails_whom(self):
        self.assertFalse(self.may_mail({"StringEquals": {"ses:FromAddress": "orders@example.com"}}))
        everybody = {"ForAllValues:StringEquals": {"ses:Recipients": ["support@example.com"]}}
        self.assertTrue(self.may_mail(everybody, to=["ada@example.com"]), "what is not there is of all values")

    def test_a_bulk_mail_needs_one_permission(self):
        self.assertTrue(self.may_mail({}, bulk=["ses:SendBulkEmail"]))

    def test_headers_of_a_mail_are_dropped(self):
        self.assertNotIn("Headers", self.sent_mail())

    def test_a_warm_invocation_waits_for_nagle(self):
        self.assertGreater(self.warm_invocation_ms(), 35)

    def test_there_are_no_move_tasks(self):
        dead_arn = self.dead_letter_queue("moved")[3]
        with self.assertRaisesRegex(ClientError, "InvalidAction"):
            self.engine.client("sqs").start_message_move_task(SourceArn=dead_arn)

    def test_a_fifo_queue_passes_one_batch_after_the_other(self):
        self.assertEqual(self.most_in_flight("serial"), 1)

    def test_what_was_published_is_copied_at_every_publish(self):
        remembered = {"a": {"expire": time.time() + 60}}
        topic = {"dedup_cache": remembered}
        sns._prune_sns_dedup(topic)
        self.assertIsNot(topic["dedup_cache"], remembered)

    def test_a_pattern_over_fields_matches_every_line(self):
        group = self.log_group("fields")
        self.log(group, "s", (1, '{"message_id": "a"}'), (2, "no JSON"))
        found = self.engine.client("logs").filter_log_events(logGroupName=group, filterPattern='{ $.message_id = "b" }')
        self.assertEqual(len(found["events"]), 2)

    def test_a_permission_on_a_log_group_by_its_arn_is_none(self):
        self.assertFalse(self.may_read_log())

    def test_a_permission_for_a_topic_reads_no_subscription(self):
        self.assertFalse(self.may_read_subscription())

    def test_a_log_ends_after_its_first_page(self):
        group = self.log_group("pages")
        self.log(group, "s", *((at, "line") for at in range(10_001)))
        found = self.engine.client("logs").filter_log_events(logGroupName=group)
        self.assertEqual((len(found["events"]), found.get("nextToken")), (10_000, None))


class Patched(OfAnEngine):
    """The engine as the local run starts it: the gaps closed, and the facts that the functions, the tests and xtask rely on."""

    def test_routes_of_an_http_api_are_imported_with_their_parameters(self):
        self.assertEqual(self.engine.http(self.outputs, "POST", "/orders")[0], 202)
        status, body = self.engine.http(self.outputs, "GET", "/orders/17")
        self.assertEqual((status, json.loads(body)["parameters"]), (202, {"order_id": "17"}))
        self.assertEqual(self.engine.http(self.outputs, "GET", "/elsewhere")[0], 404)

    def test_a_preflight_is_404_where_no_page_is_admitted(self):
        status, body = self.engine.http(self.outputs, "OPTIONS", "/orders")
        self.assertEqual((status, json.loads(body)), (404, {"message": "Not Found"}))

    def test_a_preflight_is_answered_for_the_origins_that_are_named_and_for_no_other(self):
        stacks = self.engine.client("cloudformation")
        self.admit(stacks, "http://localhost:3000,http://127.0.0.1:3001")
        self.addCleanup(self.admit, stacks, "")
        for origin in ("http://localhost:3000", "http://127.0.0.1:3001"):
            status, headers = self.preflight(origin)
            self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (204, origin))
            self.assertEqual(headers["Access-Control-Allow-Methods"], "GET,POST")
            self.assertEqual(headers["Access-Control-Allow-Headers"], "content-type,idempotency-key")
            self.assertEqual(headers["Access-Control-Max-Age"], "600")
            self.assertNotIn("Access-Control-Allow-Credentials", headers)
            status, headers = self.preflight(origin, "POST")
            self.assertEqual((status, headers["Access-Control-Allow-Origin"], headers["Access-Control-Expose-Headers"]), (202, origin, "location"))
        for status, method in ((204, "OPTIONS"), (202, "POST")):
            found, headers = self.preflight("http://localhost:3002", method)
            self.assertEqual((found, headers["Access-Control-Allow-Origin"]), (status, None))

    def test_fifo_attributes_of_a_topic_are_kept(self):
        attributes = self.engine.client("sns").get_topic_attributes(TopicArn=self.outputs["Topic"])["Attributes"]
        self.assertEqual((attributes["FifoTopic"], attributes["FifoThroughputScope"]), ("true", "MessageGroup"))

    def test_a_permission_on_a_log_group_is_by_its_arn(self):
        self.assertTrue(self.may_read_log())

    def test_a_permission_for_a_topic_reads_its_subscriptions(self):
        self.assertTrue(self.may_read_subscription())

    def test_a_subscription_names_its_topic(self):
        self.assertEqual(self.subscription_attributes()["TopicArn"], self.outputs["Topic"])

    def test_what_a_mail_carries_is_kept(self):
        mail = self.sent_mail()
        self.assertEqual((mail["Subject"], mail["BodyText"], mail["BodyHtml"]), ("Hello", "text", "<p>html</p>"))
        self.assertEqual(mail["Headers"], [{"Name": "Auto-Submitted", "Value": "auto-generated"}])
        self.assertEqual((mail["ReplyTo"], mail["Tags"]), (["orders+1@example.com"], [{"Name": "template", "Value": "hello"}]))

    def test_a_bulk_mail_is_rendered_by_literal_placeholders_and_keeps_each_ones_headers(self):
        ses = self.engine.client("sesv2")
        ses.create_email_identity(EmailIdentity="example.com")
        ses.create_configuration_set(ConfigurationSetName="bulk")
        content = {"Subject": "Hello {{name}}", "Text": "{{name}}", "Html": "<p>{{name_html}}</p>"}
        header = {"Name": "List-Unsubscribe", "Value": "<https://example.com/1>"}
        entry = {
            "Destination": {"ToAddresses": ["ada@example.com"]},
            "ReplacementEmailContent": {
                "ReplacementTemplate": {"ReplacementTemplateData": json.dumps({"name": "Ada & co", "name_html": "Ada &amp; co"})}
            },
            "ReplacementHeaders": [header],
        }
        answer = ses.send_bulk_email(
            FromEmailAddress="orders@example.com",
            ConfigurationSetName="bulk",
            DefaultContent={"Template": {"TemplateContent": content, "TemplateData": "{}"}},
            BulkEmailEntries=[entry],
        )
        mail = self.mail(answer["BulkEmailEntryResults"][0]["MessageId"])
        self.assertEqual((mail["Subject"], mail["BodyHtml"]), ("Hello Ada & co", "<p>Ada &amp; co</p>"))
        self.assertEqual((mail["Headers"], mail["ConfigurationSetName"]), ([header], "bulk"))

    def test_a_policy_says_from_whom_to_whom_a_mail_may_be(self):
        from_orders = {"StringEquals": {"ses:FromAddress": "orders@example.com"}}
        to_support = {**from_orders, "ForAllValues:StringEquals": {"ses:Recipients": ["support@example.com"]}}
        for condition in (from_orders, to_support):
            self.assertTrue(self.may_mail(condition))
            self.assertTrue(self.may_mail(condition, sender="orders@example.com"))
            for other in ("ceo@example.com", "orders@example.com <ceo@example.com>", '"orders@example.com" <ceo@example.com>'):
                self.assertFalse(self.may_mail(condition, sender=other), other)
        for to in (["ada@example.com"], ["support@example.com", "ada@example.com"]):
            self.assertTrue(self.may_mail(from_orders, to=to))
            self.assertFalse(self.may_mail(to_support, to=to))
        # SES has no such key for a bulk mail, so that the condition never holds.
        self.assertFalse(self.may_mail(from_orders, bulk=BULK))

    def test_a_bulk_mail_needs_the_permission_of_both_its_names(self):
        self.assertTrue(self.may_mail({}, bulk=BULK))
        for one in BULK:
            self.assertFalse(self.may_mail({}, bulk=[one]), one)

    def test_the_send_rate_is_not_that_of_a_new_account(self):
        self.assertGreaterEqual(self.engine.client("sesv2").get_account()["SendQuota"]["MaxSendRate"], 100)

    def test_a_warm_invocation_is_quick(self):
        self.assertLess(self.warm_invocation_ms(), 35)

    def test_functions_inherit_the_engines_environment_and_so_its_endpoint(self):
        _, body = self.engine.http(self.outputs, "POST", "/orders")
        self.assertIn(str(self.engine.port), json.loads(body)["endpoint"])

    def test_functions_inherit_no_proxy(self):
        self.assertEqual(self.proxies(), [])

    def test_the_limits_of_a_stage_are_those_of_the_template(self):
        self.assertEqual(self.limits(), {"ThrottlingRateLimit": 7, "ThrottlingBurstLimit": 70})

    def test_rows_expire_where_the_template_says_so(self):
        self.assertEqual(self.time_to_live(), "ENABLED")

    def test_a_dry_call_has_the_keys_and_resources_that_it_names(self):
        self.assertEqual(self.dry_call("orders@example.com", "*", "arn:aws:ses:x"), ["allowed", "allowed"])
        self.assertEqual(self.dry_call("others@example.com", "*"), ["implicitDeny"])

    # Aliases.

    def test_each_alias_is_a_permission_of_its_own_and_the_function_is_told_of_it(self):
        name, lambdas, iam = self.outputs["Function"], self.engine.client("lambda"), self.engine.client("iam")
        arns = {alias: lambdas.create_alias(FunctionName=name, Name=alias, FunctionVersion="$LATEST")["AliasArn"] for alias in ("look", "change")}
        iam.create_user(UserName="looks")
        allowed = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arns["look"]}
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName="looks", PolicyName="looks", PolicyDocument=document)
        key = iam.create_access_key(UserName="looks")["AccessKey"]
        looks = self.engine.client("lambda", key["AccessKeyId"], key["SecretAccessKey"])

        def invoked(client, qualified) -> str:
            answer = json.load(client.invoke(FunctionName=qualified, Payload=b"{}")["Payload"])
            return json.loads(answer["body"])["invoked"].rpartition(":function:")[2]

        self.assertEqual(invoked(looks, f"{name}:look"), f"{name}:look")
        for other in (name, f"{name}:change", f"{name}:$LATEST"):
            with self.subTest(other), self.assertRaises(ClientError) as refused:
                invoked(looks, other)
            self.assertEqual(refused.exception.response["Error"]["Code"], "AccessDeniedException")
        self.assertEqual((invoked(lambdas, f"{name}:change"), invoked(lambdas, name)), (f"{name}:change", name))

    def test_a_role_is_enforced_and_batch_calls_are_actions_of_their_own(self):
        sns, sqs = self.client_of_role("sns"), self.client_of_role("sqs")
        entry = {"Id": "0", "Message": "{}", "MessageGroupId": "a", "MessageDeduplicationId": "role"}
        answer = sns.publish_batch(TopicArn=self.outputs["Topic"], PublishBatchRequestEntries=[entry])
        self.assertEqual(len(answer["Successful"]), 1)
        with self.assertRaisesRegex(ClientError, "(?i)denied|not authorized"):
            sqs.send_message(QueueUrl=self.outputs["Queue"], MessageBody="{}")

        iam = self.engine.client("iam")
        without_star = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sns:Publish", "Resource": "*"}]}
        before = iam.get_role_policy(RoleName=self.outputs["Role"], PolicyName="publish")["PolicyDocument"]
        iam.put_role_policy(RoleName=self.outputs["Role"], PolicyName="publish", PolicyDocument=json.dumps(without_star))
        self.addCleanup(iam.put_role_policy, RoleName=self.outputs["Role"], PolicyName="publish", PolicyDocument=json.dumps(before))
        with self.assertRaisesRegex(ClientError, "(?i)denied|not authorized|AuthorizationError"):
            sns.publish_batch(TopicArn=self.outputs["Topic"], PublishBatchRequestEntries=[entry])

    def test_a_subscription_filters_by_prefix_and_delivers_raw_with_attributes(self):
        sns, sqs = self.engine.client("sns"), self.engine.client("sqs")
        for kind in ("order.shipped.v1", "order.placed.v9"):
            sns.publish(
                TopicArn=self.outputs["Topic"],
                Message=json.dumps({"type": kind}),
                MessageGroupId="order",
                MessageDeduplicationId=kind,
                MessageAttributes={"type": {"DataType": "String", "StringValue": kind}},
            )
        message = self.receive(self.outputs["Heard"])
        self.assertEqual(json.loads(message["Body"]), {"type": "order.placed.v9"})
        self.assertEqual(message["MessageAttributes"]["type"]["StringValue"], "order.placed.v9")
        self.assertNotIn("Messages", sqs.receive_message(QueueUrl=self.outputs["Heard"]))

    def test_a_subscription_filters_by_type_and_source_in_the_body(self):
        sns, sqs = self.engine.client("sns"), self.engine.client("sqs")
        topic = self.outputs["Topic"]
        queue = sqs.create_queue(QueueName="heard-by-body")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        admits = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": [topic, topic + "-other"]}},
        }
        policy = {"Version": "2012-10-17", "Statement": [admits]}
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
        filters = {"type": [{"prefix": "order.asked."}], "source": ["/mail"]}
        attributes = {"RawMessageDelivery": "true", "FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps(filters)}
        heard = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes, ReturnSubscriptionArn=True)
        self.addCleanup(sns.unsubscribe, SubscriptionArn=heard["SubscriptionArn"])
        honest = {"type": "order.asked.v1", "source": "/mail"}
        # AWS matches any item of a list, and so does the engine: a consumer must read no list there.
        listed = {"type": ["payment.held.v1", "order.asked.v1"], "source": ["/payment", "/mail"]}
        refused = [{**honest, "type": "payment.held.v1"}, {**honest, "source": "/payment"}, {"type": "order.asked.v1"}]
        for number, body in enumerate([*refused, "order.asked.v1", honest, listed]):
            sns.publish(
                TopicArn=topic,
                Message=body if isinstance(body, str) else json.dumps(body),
                MessageGroupId="by-body",
                MessageDeduplicationId=f"by-body-{number}",
                MessageAttributes={"type": {"DataType": "String", "StringValue": "order.asked.v1"}},
            )
        self.assertEqual([json.loads(self.receive(queue)["Body"]) for _ in range(2)], [honest, listed])
        self.assertNotIn("Messages", sqs.receive_message(QueueUrl=queue))

    def receive(self, queue):
        sqs = self.engine.client("sqs")
        found = until(lambda: sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages"))
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=found[0]["ReceiptHandle"])
        return found[0]

    def test_a_partial_batch_response_brings_back_what_failed_alone(self):
        sqs = self.engine.client("sqs")
        queue = self.outputs["Queue"]
        for body in ("good", "fail"):
            sqs.send_message(QueueUrl=queue, MessageBody=body)
        until(lambda: self.messages(queue) == 1)
        sqs.purge_queue(QueueUrl=queue)

    def test_a_disabled_event_source_holds_messages_back_and_an_enabled_one_lets_them_through(self):
        functions, sqs, queue = self.engine.client("lambda"), self.engine.client("sqs"), self.outputs["Queue"]
        mapping = functions.list_event_source_mappings(FunctionName=self.outputs["Function"])["EventSourceMappings"][0]["UUID"]
        functions.update_event_source_mapping(UUID=mapping, Enabled=False)
        sqs.send_message(QueueUrl=queue, MessageBody="good")
        time.sleep(1)  # long enough for a mapping that still polls to be caught
        self.assertEqual(self.messages(queue), 1)
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)
        until(lambda: self.messages(queue) == 0)

    def test_a_refused_write_returns_the_old_image(self):
        dynamodb, table = self.engine.client("dynamodb"), self.outputs["Table"]
        item = {"order_id": {"S": "a"}, "state": {"S": "old"}}
        put = {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(order_id)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        dynamodb.put_item(**put)
        with self.assertRaises(dynamodb.exceptions.ConditionalCheckFailedException) as single:
            dynamodb.put_item(**put)
        self.assertEqual(single.exception.response["Item"], item)
        with self.assertRaises(dynamodb.exceptions.TransactionCanceledException) as transaction:
            dynamodb.transact_write_items(TransactItems=[{"Put": put}])
        reason = transaction.exception.response["CancellationReasons"][0]
        self.assertEqual((reason["Code"], reason["Item"]), ("ConditionalCheckFailed", item))

    def test_a_sparse_index_has_an_item_for_as_long_as_it_has_the_key(self):
        dynamodb, table = self.engine.client("dynamodb"), self.outputs["Table"]
        for order_id, at in (("late", "2026-05-09T09"), ("early", "2026-05-09T08")):
            dynamodb.put_item(TableName=table, Item={"order_id": {"S": order_id}, "unsettled": {"S": "yes"}, "uncollected_at": {"S": at}})
        dynamodb.put_item(TableName=table, Item={"order_id": {"S": "collected"}})
        query = {
            "TableName": table,
            "IndexName": "unsettled",
            "KeyConditionExpression": "#u = :yes",
            "ExpressionAttributeNames": {"#u": "unsettled"},
            "ExpressionAttributeValues": {":yes": {"S": "yes"}},
        }

        def listed(**more):
            return [item["order_id"]["S"] for item in dynamodb.query(**query, **more)["Items"]]

        self.assertEqual(listed(), ["early", "late"])
        page = dynamodb.query(**query, Limit=1)
        self.assertEqual(listed(ExclusiveStartKey=page["LastEvaluatedKey"]), ["late"])
        dynamodb.update_item(
            TableName=table,
            Key={"order_id": {"S": "early"}},
            UpdateExpression="SET settled_at = :at REMOVE unsettled",
            ConditionExpression="attribute_not_exists(settled_at)",
            ExpressionAttributeValues={":at": {"S": "2026-05-10"}},
        )
        self.assertEqual(listed(), ["late"])

    def test_a_permission_for_an_index_is_by_its_arn(self):
        self.assertEqual(self.engine.client("dynamodb").describe_table(TableName=self.outputs["Table"])["Table"]["GlobalSecondaryIndexes"][0]["IndexName"], "unsettled")
        iam = self.engine.client("iam")
        arn = f"arn:aws:dynamodb:us-east-1:000000000000:table/{self.outputs['Table']}"

        def may_query(resource):
            name = f"reader-{resource.rpartition('/')[2]}"
            iam.create_user(UserName=name)
            statement = {"Effect": "Allow", "Action": "dynamodb:Query", "Resource": resource}
            policy = {"Version": "2012-10-17", "Statement": [statement]}
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
            key = iam.create_access_key(UserName=name)["AccessKey"]
            dynamodb = self.engine.client("dynamodb", key["AccessKeyId"], key["SecretAccessKey"])
            try:
                dynamodb.query(
                    TableName=self.outputs["Table"],
                    IndexName="unsettled",
                    KeyConditionExpression="unsettled = :yes",
                    ExpressionAttributeValues={":yes": {"S": "no"}},
                )
                return True
            except dynamodb.exceptions.ClientError as error:
                self.assertEqual(error.response["Error"]["Code"], "AccessDeniedException")
                return False

        self.assertTrue(may_query(f"{arn}/index/unsettled"))
        self.assertFalse(may_query(arn))

    def test_a_fifo_queue_drops_a_known_deduplication_id_and_passes_a_fresh_one(self):
        sqs = self.engine.client("sqs")
        queue = sqs.create_queue(QueueName="parked.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        for id in ("once", "once", "fresh"):
            sqs.send_message(QueueUrl=queue, MessageBody="same", MessageGroupId="g", MessageDeduplicationId=id)
        self.assertEqual(self.messages(queue), 2)

    def test_a_hidden_message_stays_away_for_as_long_as_it_was_told(self):
        sqs = self.engine.client("sqs")
        queue = sqs.create_queue(QueueName="hidden")["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody="later")
        handle = sqs.receive_message(QueueUrl=queue)["Messages"][0]["ReceiptHandle"]
        sqs.change_message_visibility_batch(QueueUrl=queue, Entries=[{"Id": "0", "ReceiptHandle": handle, "VisibilityTimeout": 1}])
        began = time.monotonic()
        until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
        self.assertGreater(time.monotonic() - began, 0.8)

    # Long queues.

    def test_a_fifo_queue_passes_batches_of_several_groups_at_once(self):
        self.assertGreater(self.most_in_flight("wide"), 1)

    def test_each_group_of_a_fifo_queue_keeps_its_order_under_several_batches_at_once(self):
        queue = self.fifo_mapping("ordered", batch_size=2)
        sent = [(group, f"{group}{place:02}") for place in range(8) for group in "pqrs"]
        self.send_to_groups(queue, *sent)
        until(lambda: self.messages(queue) == 0)
        handled = lambda: self.handled_bodies() if len(self.handled_bodies()) >= len(sent) else None
        bodies = until(handled)
        for name in "pqrs":
            self.assertEqual([body for body in bodies if body[0] == name], [body for group, body in sent if group == name])

    def handled_bodies(self) -> list:
        logs = self.engine.client("logs")
        lines = logs.filter_log_events(logGroupName=self.outputs["LogGroup"], filterPattern="bodies")["events"]
        return [body for line in lines for body in json.loads(line["message"])["bodies"] if body[0] in "pqrs" and body[1:].isdigit()]

    def test_a_topic_forgets_what_it_heard_five_minutes_ago_and_nothing_younger(self):
        now = time.time()
        remembered = {"old": {"expire": now - 2}, "older than a moment": {"expire": now - 1}, "young": {"expire": now + 60}}
        topic = {"dedup_cache": remembered}
        long_queues.forget(topic)
        self.assertEqual(list(topic["dedup_cache"]), ["young"])
        self.assertIs(topic["dedup_cache"], remembered)
        empty = {}
        long_queues.forget(empty)
        self.assertEqual(empty, {"dedup_cache": {}})

    def test_a_queue_is_received_from_once_something_in_it_can_be_seen(self):
        received = long_queues.unless_all_are_hidden(lambda url, most: [url, most])
        for visible_at, expected in ([], []), ([60, 60], []), ([60, -1], ["q", 10]):
            queue = {"messages": [{"visible_at": time.time() + after} for after in visible_at]}
            with unittest.mock.patch.object(sqs, "_get_q", lambda _url: queue):
                self.assertEqual(received("q", 10), expected)

    # Move tasks.

    def exhaust(self, source: str, *bodies: str) -> None:
        """Sends messages and receives them until they are in the dead-letter queue."""
        sqs = self.engine.client("sqs")
        fifo = {"MessageGroupId": "g"} if source.endswith(".fifo") else {}
        for body in bodies:
            once = {"MessageDeduplicationId": body} if fifo else {}
            sqs.send_message(
                QueueUrl=source, MessageBody=body, MessageAttributes={"type": {"DataType": "String", "StringValue": body}}, **fifo, **once
            )
        until(lambda: not sqs.receive_message(QueueUrl=source, VisibilityTimeout=0, MaxNumberOfMessages=10).get("Messages"))

    def last_move(self, source_arn: str) -> dict:
        """The last task, once it is over."""
        sqs = self.engine.client("sqs")
        last = lambda: sqs.list_message_move_tasks(SourceArn=source_arn)["Results"][0]
        return until(lambda: (task := last())["Status"] != "RUNNING" and task)

    def received(self, queue: str) -> list:
        sqs = self.engine.client("sqs")
        ask = {"QueueUrl": queue, "AttributeNames": ["All"], "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10}
        return sqs.receive_message(**ask).get("Messages", [])

    def test_a_move_task_moves_visible_messages_as_new_ones(self):
        sqs = self.engine.client("sqs")
        source, dead, _, dead_arn = self.dead_letter_queue("moved-back")
        self.exhaust(source, "a", "b", "c")
        in_flight = sqs.receive_message(QueueUrl=dead)["Messages"][0]
        before = {message["Body"]: message["MessageId"] for message in self.peek(dead)}
        sqs.start_message_move_task(SourceArn=dead_arn)
        task = self.last_move(dead_arn)
        counts = (task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"])
        self.assertEqual((task["Status"], task["SourceArn"], counts), ("COMPLETED", dead_arn, (2, 2)))
        self.assertLess(abs(task["StartedTimestamp"] / 1000 - time.time()), WAIT_SECONDS)
        self.assertFalse({"TaskHandle", "DestinationArn", "MaxNumberOfMessagesPerSecond", "FailureReason"} & set(task))
        moved = self.received(source)
        self.assertEqual([message["Body"] for message in moved], [body for body in "abc" if body != in_flight["Body"]])
        for message in moved:
            self.assertNotEqual(message["MessageId"], before[message["Body"]])
            self.assertEqual(message["MessageAttributes"]["type"]["StringValue"], message["Body"])
            self.assertEqual(message["Attributes"]["ApproximateReceiveCount"], "1")
            self.assertNotIn("DeadLetterQueueSourceArn", message["Attributes"])
        self.assertEqual([message["MessageId"] for message in self.peek(dead)], [in_flight["MessageId"]])

    def peek(self, queue: str) -> list:
        with self.engine.page(f"/_ministack/sqs/messages?QueueUrl={queue}") as response:
            shown = json.load(response)["messages"]
        return [message for regions in shown.values() for queues in regions.values() for found in queues.values() for message in found]

    def test_a_move_task_wakes_the_event_source_of_its_destination(self):
        sqs = self.engine.client("sqs")
        source, dead, _, dead_arn = self.dead_letter_queue("onward")
        consumed = self.outputs["Queue"]
        self.exhaust(source, "good")
        arn = sqs.get_queue_attributes(QueueUrl=consumed, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sqs.start_message_move_task(SourceArn=dead_arn, DestinationArn=arn)
        self.assertEqual(self.last_move(dead_arn)["DestinationArn"], arn)
        until(lambda: self.messages(dead) == self.messages(consumed) == 0)

    def test_a_move_task_of_a_fifo_queue_keeps_order_and_is_not_deduplicated(self):
        sqs = self.engine.client("sqs")
        source, dead, _, dead_arn = self.dead_letter_queue("ordered", fifo=True)
        self.exhaust(source, "a", "b")
        in_flight = sqs.receive_message(QueueUrl=dead)["Messages"][0]["ReceiptHandle"]
        sqs.start_message_move_task(SourceArn=dead_arn)
        self.assertEqual(self.last_move(dead_arn)["ApproximateNumberOfMessagesMoved"], 0)
        sqs.change_message_visibility(QueueUrl=dead, ReceiptHandle=in_flight, VisibilityTimeout=0)
        sqs.start_message_move_task(SourceArn=dead_arn)
        self.assertEqual(self.last_move(dead_arn)["ApproximateNumberOfMessagesMoved"], 2)
        self.assertEqual([(m["Body"], m["Attributes"]["MessageGroupId"]) for m in self.received(source)], [("a", "g"), ("b", "g")])

    def test_a_move_task_fails_at_a_message_of_which_nobody_knows_whence_it_came(self):
        sqs = self.engine.client("sqs")
        source, dead, source_arn, dead_arn = self.dead_letter_queue("whence")
        self.exhaust(source, "a")
        sqs.send_message(QueueUrl=dead, MessageBody="sent here")
        sqs.start_message_move_task(SourceArn=dead_arn)
        task = self.last_move(dead_arn)
        self.assertEqual((task["Status"], task["FailureReason"]), ("FAILED", "CouldNotDetermineMessageSource"))
        self.assertEqual((task["ApproximateNumberOfMessagesMoved"], self.messages(dead)), (1, 1))
        sqs.start_message_move_task(SourceArn=dead_arn, DestinationArn=source_arn)
        self.assertEqual(self.last_move(dead_arn)["Status"], "COMPLETED")
        statuses = [task["Status"] for task in sqs.list_message_move_tasks(SourceArn=dead_arn, MaxResults=10)["Results"]]
        self.assertEqual((statuses, self.messages(source)), (["COMPLETED", "FAILED"], 2))

    def test_a_move_task_keeps_its_rate_runs_alone_and_can_be_cancelled(self):
        sqs = self.engine.client("sqs")
        source, dead, _, dead_arn = self.dead_letter_queue("slow")
        self.exhaust(source, *"abcdefghij")  # ten seconds to do what follows
        handle = sqs.start_message_move_task(SourceArn=dead_arn, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
        task = sqs.list_message_move_tasks(SourceArn=dead_arn)["Results"][0]
        self.assertEqual((task["Status"], task["TaskHandle"], task["MaxNumberOfMessagesPerSecond"]), ("RUNNING", handle, 1))
        with self.assertRaisesRegex(ClientError, "InvalidParameterValue.*already a task running"):
            sqs.start_message_move_task(SourceArn=dead_arn)
        self.assertLess(sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"], 10)
        self.assertEqual(self.last_move(dead_arn)["Status"], "CANCELLED")
        self.assertGreater(self.messages(dead), 0)
        with self.assertRaisesRegex(ClientError, "InvalidParameterValue"):
            sqs.cancel_message_move_task(TaskHandle=handle)

    def test_a_move_task_is_refused_as_aws_refuses_it(self):
        sqs = self.engine.client("sqs")
        _, _, source_arn, dead_arn = self.dead_letter_queue("refused")
        for code, sentence, ask in (
            ("InvalidParameterValue", "must be configured as a Dead Letter Queue", {"SourceArn": source_arn}),
            ("ResourceNotFoundException", "for the SourceArn parameter", {"SourceArn": f"{dead_arn}x"}),
            ("ResourceNotFoundException", "for the DestinationArn parameter", {"SourceArn": dead_arn, "DestinationArn": f"{source_arn}x"}),
            ("InvalidParameterValue", "between 1 and 500", {"SourceArn": dead_arn, "MaxNumberOfMessagesPerSecond": 0}),
            ("InvalidParameterValue", "between 1 and 500", {"SourceArn": dead_arn, "MaxNumberOfMessagesPerSecond": 501}),
        ):
            with self.subTest(ask=ask), self.assertRaisesRegex(ClientError, f"{code}.*{sentence}"):
                sqs.start_message_move_task(**ask)
        with self.assertRaisesRegex(ClientError, "between 1 and 10"):
            sqs.list_message_move_tasks(SourceArn=dead_arn, MaxResults=11)
        self.assertEqual(sqs.list_message_move_tasks(SourceArn=dead_arn).get("Results", []), [])
        with self.assertRaisesRegex(ClientError, "InvalidParameterValue.*TaskHandle is invalid"):
            sqs.cancel_message_move_task(TaskHandle="nonsense")

    def test_a_move_task_needs_permissions_for_itself_and_each_queue(self):
        source, dead, source_arn, dead_arn = self.dead_letter_queue("guarded")
        self.exhaust(source, "a")
        iam, role = self.engine.client("iam"), self.outputs["Role"]
        sqs = self.client_of_role("sqs")
        statement = lambda arn, *names: {"Effect": "Allow", "Action": [f"sqs:{name}" for name in names], "Resource": arn}
        allowed = []

        def allow(*added):
            allowed.extend(added)
            document = json.dumps({"Version": "2012-10-17", "Statement": allowed})
            iam.put_role_policy(RoleName=role, PolicyName="move", PolicyDocument=document)

        self.addCleanup(iam.delete_role_policy, RoleName=role, PolicyName="move")
        # All of it on the wrong queue, and what the task does without the task itself.
        allow(statement(source_arn, "*MessageMoveTask*"), statement(dead_arn, "ReceiveMessage", "DeleteMessage"))
        with self.assertRaisesRegex(ClientError, "AccessDenied.*sqs:StartMessageMoveTask"):
            sqs.start_message_move_task(SourceArn=dead_arn)
        allow(statement(dead_arn, "StartMessageMoveTask", "ListMessageMoveTasks"))
        for ask in (sqs.start_message_move_task, sqs.list_message_move_tasks):
            with self.assertRaisesRegex(ClientError, "AccessDenied.*sqs:GetQueueAttributes"):
                ask(SourceArn=dead_arn)
        allow(statement(dead_arn, "GetQueueAttributes"))
        with self.assertRaisesRegex(ClientError, "AccessDenied.*sqs:SendMessage"):
            sqs.start_message_move_task(SourceArn=dead_arn, DestinationArn=source_arn)
        # Whither is not known before the message is looked at.
        sqs.start_message_move_task(SourceArn=dead_arn)
        self.assertEqual((self.last_move(dead_arn)["FailureReason"], self.messages(dead)), ("AccessDenied", 1))
        allow(statement(source_arn, "SendMessage"))
        handle = sqs.start_message_move_task(SourceArn=dead_arn, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
        with self.assertRaisesRegex(ClientError, "AccessDenied.*sqs:CancelMessageMoveTask"):
            sqs.cancel_message_move_task(TaskHandle=handle)
        self.assertEqual((self.last_move(dead_arn)["Status"], self.messages(source)), ("COMPLETED", 1))

    # Counts of calls.

    def counts(self) -> dict:
        with self.engine.page("/_calls") as response:
            return json.load(response)

    def test_calls_are_counted_by_who_signed_them_and_each_once(self):
        mine, role = self.engine.client("dynamodb"), self.client_of_role("sns")
        before = self.counts()["calls"]
        mine.get_item(TableName=self.outputs["Table"], Key={"order_id": {"S": "counted"}})
        entry = {"Id": "0", "Message": "{}", "MessageGroupId": "a", "MessageDeduplicationId": "counted"}
        role.publish_batch(TopicArn=self.outputs["Topic"], PublishBatchRequestEntries=[entry])
        self.sent_mail()
        # A connection that is opened ahead asks for nothing, and nobody has signed that.
        answer(self.engine.url, "GET")
        after = self.counts()["calls"]
        # What the test asked for on the way, a session and an identity to send from, is beside the point.
        asked = ("dynamodb:GetItem", "ses:SendEmail", "sns:PublishBatch", "s3:ListAllMyBuckets")
        increase = lambda caller: {a: after[caller].get(a, 0) - before.get(caller, {}).get(a, 0) for a in asked}
        self.assertEqual(list(increase("root").values()), [1, 1, 0, 0])
        self.assertEqual(list(increase("contract").values()), [0, 0, 1, 0])
        self.assertNotIn("", after)

    def test_invocations_and_batches_are_counted_by_function(self):
        function, sqs = self.outputs["Function"], self.engine.client("sqs")
        of = lambda counts: (counts["invocations"].get(function, 0), counts["batches"].get(function, {}))
        invocations, batches = of(self.counts())
        self.engine.http(self.outputs, "POST", "/orders")
        for body in ("good", "good"):
            sqs.send_message(QueueUrl=self.outputs["Queue"], MessageBody=body)
        until(lambda: self.messages(self.outputs["Queue"]) == 0)
        invoked, taken = of(self.counts())
        increase = lambda what: taken[what] - batches.get(what, 0)
        self.assertEqual((increase("received"), increase("deleted")), (2, 2))
        self.assertEqual(increase("receives"), increase("deletes"))
        self.assertEqual(invoked - invocations, 1 + increase("receives"))

    # Logs.

    def filtered(self, group: str, **ask) -> list:
        """The pages of a log, as lists of messages."""
        pages = self.engine.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group, **ask)
        return [[event["message"] for event in page["events"]] for page in pages]

    def test_a_pattern_over_fields_matches_as_documented(self):
        lines = {
            "a": {"id": "a-1", "n": 1, "deep": {"list": [{"x": "yes"}], "flag": True}, "none": None},
            "b": {"id": "b-2", "n": 10.5, "deep": {"list": [], "flag": False}, "code": "500"},
            "c": {"id": 'c "quoted"', "n": -3, "code": 500, "none": 0},
        }
        group = self.log_group("documented")
        written = [json.dumps({"name": name, **fields}) for name, fields in lines.items()]
        self.log(group, "s", *enumerate(["no JSON, id a-1", '"a-1"', "[1]", *written]))
        for pattern, names in {
            '{ ($.id = "a-1") || ($.id = "c") }': "a",
            '{ $.id = "a-1" || $.id = "b-2" }': "ab",
            "{$.id=a-1}": "a",
            '{ $.id != "a-1" }': "bc",
            '{ $.id = "*" && $.n < 5 }': "ac",
            '{ $.id = "a-1" || $.id = "b-2" && $.n = 1 }': "a",
            '{ ($.id = "a-1" || $.id = "b-2") && $.n > 1 }': "b",
            '{ $.id = "*-2" }': "b",
            '{ $.id = "a*" }': "a",
            '{ $.id = "*quot*" }': "c",
            '{ $.id = "a*1" }': "",
            r'{ $.id = "c \"quoted\"" }': "c",
            "{ $.n >= 1 }": "ab",
            "{ $.n <= 1.05e1 && $.n > -3 }": "ab",
            "{ $.n = 10.5 }": "b",
            "{ $.n != 1 }": "bc",
            "{ $.code = 500 }": "bc",
            "{ $.code < 501 }": "c",
            "{ $.code = * }": "bc",
            '{ $.deep.list[0].x = "yes" }': "a",
            '{ $.deep.list != "yes" }': "",
            "{ $.deep.flag IS TRUE }": "a",
            "{ $.deep.flag IS FALSE }": "b",
            "{ $.none IS NULL }": "a",
            "{ $.none NOT EXISTS }": "b",
            "{ $.deep.flag != 0 }": "",
            '{ $.missing != "a" }': "",
        }.items():
            with self.subTest(pattern=pattern):
                (page,) = self.filtered(group, filterPattern=pattern)
                self.assertEqual("".join(json.loads(line)["name"] for line in page), names)

    def test_an_invalid_pattern_over_fields_is_refused(self):
        group = self.log_group("invalid")
        for pattern in (
            "{",
            "{ }",
            "{ $.id }",
            "{ $.id = }",
            '{ $.id = "a" ',
            '{ $.id = "a }',
            '{ $.id = "a" } more',
            '{ ($.id = "a" }',
            '{ $.id = "a" || }',
            '{ $.id == "a" }',
            '{ $.id > "a" }',
            '{ id = "a" }',
            "{ $.id IS a }",
            "{ $.id NOT NULL }",
            "{ $.id = %a% }",
            '{ $.id = "%s" }' % ("a" * 1024),
        ):
            with self.subTest(pattern=pattern[:20]), self.assertRaisesRegex(ClientError, "InvalidParameterException"):
                self.filtered(group, filterPattern=pattern)
        with self.assertRaisesRegex(ClientError, "InvalidParameterException"):
            self.engine.client("logs").filter_log_events(logGroupName=group, nextToken="nonsense")

    def test_a_log_is_read_in_pages_to_its_end_and_in_the_order_of_time(self):
        group = self.log_group("long")
        self.log(group, "even", *((at, f"{at}") for at in range(0, 12_000, 2)))
        self.log(group, "odd", *((at, f"{at}") for at in range(1, 12_000, 2)))
        first, second = self.filtered(group)
        self.assertEqual((len(first), first + second), (10_000, [f"{at}" for at in range(12_000)]))
        self.assertEqual(self.filtered(group, startTime=3, endTime=5, limit=2), [["3", "4"], ["5"]])
        self.assertEqual(self.filtered(group, logStreamNames=["odd"], endTime=3), [["1", "3"]])

    def test_a_page_of_a_log_ends_at_a_mebibyte_and_within_a_millisecond(self):
        group = self.log_group("wide")
        lines = [f"{number} {'x' * 300_000}" for number in range(7)]
        self.log(group, "s", *((1, line) for line in lines))
        pages = self.filtered(group)
        self.assertEqual(([len(page) for page in pages], sum(pages, [])), ([3, 3, 1], lines))
        self.assertEqual(self.filtered(group, limit=2, filterPattern="x"), [lines[:2], lines[2:4], lines[4:6], lines[6:]])

    def create(self, name: str, stage: str, seconds: str):
        template = {
            "Parameters": {"Stage": {"Type": "String"}, "Seconds": {"Type": "Number"}},
            "Rules": {"OnAws": {
                "RuleCondition": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Stage"}, "local"]}]},
                "Assertions": [{"Assert": {"Fn::Contains": [["300", "900"], {"Ref": "Seconds"}]},
                                "AssertDescription": "Seconds must be 300 or 900."}]}},
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        }
        parameters = [{"ParameterKey": "Stage", "ParameterValue": stage},
                      {"ParameterKey": "Seconds", "ParameterValue": seconds}]
        return self.engine.client("cloudformation").create_stack(
            StackName=name, TemplateBody=json.dumps(template), Parameters=parameters)

    def test_a_parameter_that_a_rule_does_not_list_is_refused_unless_the_stage_is_local(self):
        with self.assertRaisesRegex(ClientError, "Seconds must be 300 or 900"):
            self.create("unlisted", "prod", "3")
        self.create("listed", "prod", "900")
        self.create("unlisted-but-local", "local", "3")

    def test_logs_go_to_the_group_that_the_function_names(self):
        self.engine.http(self.outputs, "POST", "/orders")
        logs = self.engine.client("logs")
        until(lambda: logs.filter_log_events(logGroupName=self.outputs["LogGroup"], filterPattern="handled")["events"])


class Pages(unittest.TestCase):
    """A web page that its visitor's browser sends to the engine, which would run what CreateFunction is given."""

    def test_a_page_is_refused_before_anything_else_and_a_program_is_not(self):
        engine = Engine()
        self.addCleanup(engine.stop)
        paths = [("GET", "/_ministack/health"), ("POST", "/2015-03-31/functions"), ("OPTIONS", "/bucket"), ("PUT", "/bucket"), ("GET", "/_calls")]
        for headers in FOREIGN:
            for method, path in paths:
                self.assertEqual(answer(engine.url + path, method, headers)[0], 403, (headers, method, path))
        engine.client("s3").create_bucket(Bucket="of-a-program")
        self.assertEqual([bucket["Name"] for bucket in engine.client("s3").list_buckets()["Buckets"]], ["of-a-program"])
        bridged = {"Host": f"172.17.0.1:{engine.port}"}
        self.assertEqual(answer(f"{engine.url}/_ministack/health", "GET", bridged)[0], 200, "a container, by its bridge")
        own = {"Origin": f"http://localhost:{engine.port}", "Sec-Fetch-Site": "same-origin", "Host": f"api.execute-api.localhost:{engine.port}"}
        self.assertNotEqual(answer(f"{engine.url}/_ministack/health", "GET", own)[0], 403, "a page that this machine serves")


class Strangers(unittest.TestCase):
    """A program of another user of the machine, who does not know this run's key."""

    # What the engine takes for root's without callers.py: its usual key, none, an account's number. And one that nobody has.
    KEYS = ("test", "000000000000", "123456789012", "localffffffffffffffffffffffffffffffff", "AKIAIOSFODNN7EXAMPLE")
    CALLS = (
        ("lambda", "create_function", {"FunctionName": "f", "Role": "arn:aws:iam::000000000000:role/r", "Code": {"ZipFile": b"x"}, "Runtime": "provided.al2023", "Handler": "h"}),
        ("iam", "create_user", {"UserName": "mallory"}),
        ("cloudformation", "create_stack", {"StackName": "s", "TemplateBody": "{}"}),
        ("s3", "list_buckets", {}),
        ("sqs", "list_queues", {}),
        ("sns", "list_topics", {}),
        ("dynamodb", "list_tables", {}),
        ("secretsmanager", "list_secrets", {}),
        ("logs", "describe_log_groups", {}),
        ("sts", "get_caller_identity", {}),
        ("sts", "assume_role", {"RoleArn": "arn:aws:iam::000000000000:role/r", "RoleSessionName": "mallory"}),
    )

    def setUp(self):
        self.engine = Engine()
        self.addCleanup(self.engine.stop)

    def test_without_this_runs_key_every_call_is_refused(self):
        for key in self.KEYS:
            for service, operation, arguments in self.CALLS:
                with self.subTest(key=key, call=f"{service} {operation}"), self.assertRaises(ClientError) as refused:
                    getattr(self.engine.client(service, key, key), operation)(**arguments)
                self.assertIn(refused.exception.response["ResponseMetadata"]["HTTPStatusCode"], (400, 401, 403))
                self.assertRegex(refused.exception.response["Error"]["Code"], "(?i)token|access|signature|client|denied")
        self.assertEqual(self.engine.client("lambda").list_functions()["Functions"], [])

    def test_what_is_not_signed_is_refused_but_for_the_api_and_the_question_of_health(self):
        calls = [("POST", "/2015-03-31/functions"), ("PUT", "/bucket"), ("GET", "/_calls"), ("POST", "/_ministack/reset"), ("GET", "/_ministack/ses/messages")]
        for method, path in calls:
            self.assertEqual(answer(self.engine.url + path, method)[0], 403, path)
            self.assertIn(answer(self.engine.url + path, method, signed_by("test"))[0], (400, 401, 403), path)
        outputs = self.engine.deploy()
        self.assertNotEqual(self.engine.http(outputs, "POST", "/orders")[0], 403)


class Ends(unittest.TestCase):
    """How an engine and its functions end: what `down`, Ctrl-C and a killed xtask rely on."""

    def test_any_other_version_is_refused_in_a_sentence(self):
        pretend = "import importlib.metadata as m, runpy; m.version = lambda _: '0.0.1'; runpy.run_path('engine.py', run_name='__main__')"
        run = subprocess.run([sys.executable, "-B", "-c", pretend], cwd=HERE, capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn("0.0.1 is installed", run.stderr)

    def test_real_credentials_are_refused_in_a_sentence(self):
        environment = {**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE"}
        run = subprocess.run([sys.executable, "-B", "engine.py"], cwd=HERE, env=environment, capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn("without AWS credentials", run.stderr)

    def test_functions_are_in_the_engines_process_group(self):
        engine = Engine()
        self.addCleanup(engine.stop)
        outputs = engine.deploy()
        engine.http(outputs, "POST", "/orders")
        self.assertGreaterEqual(len(engine.members()), 2)
        os.killpg(engine.process.pid, signal.SIGTERM)
        engine.process.wait(WAIT_SECONDS)
        until(lambda: not engine.members())

    def test_an_engine_on_a_lifeline_ends_with_its_starter(self):
        read, write = os.pipe()
        engine = Engine("--lifeline", stdin=read)
        self.addCleanup(engine.stop)
        os.close(read)
        outputs = engine.deploy()
        engine.http(outputs, "POST", "/orders")
        os.close(write)
        engine.process.wait(WAIT_SECONDS)
        until(lambda: not engine.members())


class Provider(unittest.TestCase):
    """The payment provider's stand-in, whose lists are kept apart by kind."""

    OPTIONS = ()

    def setUp(self):
        self.url = f"http://127.0.0.1:{(port := free_port())}/v1"
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(HERE / "payment_provider.py"), *self.OPTIONS, str(port)],
            env={**os.environ, "PROVIDER_KEY": "sk_test_of_this_test"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        until(self.answers, START_SECONDS)

    def answers(self) -> bool:
        try:
            return bool(self.ask("/payment_intents"))
        except urllib.error.URLError:
            assert self.process.poll() is None, "the provider ended while it started"
            return False

    def ask(self, path: str, form: dict | None = None) -> dict:
        """Reads, or posts a form, which may be empty."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": "Bearer sk_test_of_this_test"})
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def test_lists_hold_what_was_made_in_its_order_and_a_charge_its_own_refunds(self):
        asked = {"amount": 700, "currency": "eur", "payment_method": "pm_card_visa", "capture_method": "automatic"}
        made = [self.ask("/payment_intents", asked)["id"] for _ in range(3)]
        listed = self.ask("/payment_intents?limit=2")
        self.assertEqual(([payment["id"] for payment in listed["data"]], listed["has_more"]), (made[:2], True))
        charges = [self.ask(f"/payment_intents/{payment}/confirm", {})["charges"]["data"][0]["id"] for payment in made]
        refund = self.ask("/refunds", {"charge": charges[1]})["id"]
        refunds = [[entry["id"] for entry in self.ask(f"/refunds?charge={charge}")["data"]] for charge in charges]
        self.assertEqual(refunds, [[], [refund], []])
        self.assertEqual(self.ask(f"/charges/{charges[1]}")["amount_refunded"], 700)

    def test_it_charges_what_stripe_charges(self):
        for currency, amount, code in [
            ("eur", 50, None),
            ("eur", 49, "amount_too_small"),
            ("eur", 0, "parameter_invalid_integer"),
            ("eur", "1.5", "parameter_invalid_integer"),
            ("idr", 100_000_000, None),
            ("idr", 1_000_000_000_000, "amount_too_large"),
            ("kwd", 1210, None),
            ("kwd", 1205, "invalid_amount"),
            ("isk", 500, None),
            ("isk", 550, "invalid_amount"),
            ("mga", 12, None),
            ("bgn", 500, "invalid_currency"),
        ]:
            asked = {"amount": amount, "currency": currency, "payment_method": "pm_card_visa", "capture_method": "manual"}
            try:
                said = None if self.ask("/payment_intents", asked)["amount"] == amount else "another amount"
            except urllib.error.HTTPError as refused:
                error = json.load(refused)["error"]
                said = error["code"] if refused.code == 400 and error["param"] in ("amount", "currency") else error
            self.assertEqual(said, code, (currency, amount))

    def test_a_web_page_is_refused(self):
        for headers in FOREIGN:
            for method in ("GET", "POST", "OPTIONS"):
                authorized = {"Authorization": "Bearer sk_test_of_this_test", **headers}
                self.assertEqual(answer(f"{self.url}/payment_intents", method, authorized)[0], 403, (headers, method))


    def test_without_its_key_it_answers_nobody(self):
        for headers in ({}, {"Authorization": "Bearer sk_test_12345"}, {"Authorization": "Basic c2tfdGVzdF9vZl90aGlzX3Rlc3Q6"}):
            self.assertEqual(answer(f"{self.url}/payment_intents", "GET", headers)[0], 401, headers)


class LimitedProvider(Provider):
    """The same, with Stripe's limits: what is one too many is refused in Stripe's words, before anything is done."""

    OPTIONS = ("--calls-per-second", "5", "--endpoint-calls-per-second", "3")
    # More changes than these limits allow.
    test_lists_hold_what_was_made_in_its_order_and_a_charge_its_own_refunds = None
    test_it_charges_what_stripe_charges = None

    def test_what_is_too_many_is_refused_with_its_reason(self):
        asked = {"amount": 700, "currency": "eur", "payment_method": "pm_card_visa", "capture_method": "manual"}
        time.sleep(1)
        made, reasons = [], []
        for path, form in [*[("/payment_intents", asked)] * 4, *[("/payment_intents/pi_none/confirm", {})] * 3]:
            try:
                made.append(self.ask(path, form)["id"])
            except urllib.error.HTTPError as refused:
                if refused.code == 429:
                    reasons.append(refused.headers["Stripe-Rate-Limited-Reason"])
        self.assertEqual((len(made), reasons), (3, ["endpoint-rate", "global-rate"]))
        self.assertEqual(len(self.ask("/payment_intents?limit=10")["data"]), 3)
        time.sleep(1)
        self.ask("/payment_intents", asked)


class SlowProvider(Provider):
    """The same, with a latency: it makes the same answers."""

    LATENCY_MS = 200
    OPTIONS = ("--latency-ms", str(LATENCY_MS))

    def test_what_changes_something_waits(self):
        before = time.monotonic()
        self.ask("/payment_intents", {"amount": 700, "currency": "eur"})
        self.assertGreaterEqual(time.monotonic() - before, self.LATENCY_MS / 1000)


if __name__ == "__main__":
    unittest.main()
