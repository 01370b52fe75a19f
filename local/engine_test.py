"""Contract tests of the local engine: what the project leans on, and each gap that `engine.py` mends.

Run by `cargo xtask test --only engine`. A test of the class `Gaps` fails when a new version of the engine closes a gap: then
its mending can go from `engine.py`. They start their own engines on free ports and speak to nothing else.
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
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

HERE = Path(__file__).parent
# Booting takes half a second; a busy machine takes longer.
START_SECONDS = 60
# Everything here is in memory; what takes longer hangs.
WAIT_SECONDS = 30

# A function without a compiler: a custom runtime is any program that speaks the Runtime API. It reports the messages that say
# "fail", publishes when it is asked to, and prints a line, because a silent handler costs 50 ms more.
BOOTSTRAP = """#!%s
import http.client, json, os
runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    runtime.request("GET", "/2018-06-01/runtime/invocation/next")
    response = runtime.getresponse()
    event, request_id = json.loads(response.read()), response.headers["Lambda-Runtime-Aws-Request-Id"]
    print(json.dumps({"level": "INFO", "handled": request_id}), flush=True)
    if "Records" in event:
        failed = [r["messageId"] for r in event["Records"] if "fail" in r["body"]]
        answer = {"batchItemFailures": [{"itemIdentifier": i} for i in failed]}
    else:
        answer = {"statusCode": 202, "body": json.dumps({
            "parameters": event.get("pathParameters"),
            "endpoint": os.environ.get("AWS_ENDPOINT_URL")})}
    runtime.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", json.dumps(answer))
    runtime.getresponse().read()
"""

TEMPLATE = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "Api": {"Type": "AWS::Serverless::HttpApi"},
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
                "AttributeDefinitions": [{"AttributeName": "order_id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "order_id", "KeyType": "HASH"}],
            },
        },
    },
    "Outputs": {name: {"Value": {"Ref": name}} for name in ("Api", "Function", "Topic", "Queue", "Heard", "Table", "Role", "LogGroup")},
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


class Engine:
    """An engine of a test's own, started as `cargo xtask` starts it. `mended=False` starts it without engine.py."""

    def __init__(self, *arguments, mended=True, **popen):
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
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": "unix:///nonexistent.sock",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        how = [str(HERE / "engine.py"), *arguments] if mended else ["-c", "import ministack.app; ministack.app.main()"]
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

    def client(self, service, key="test", secret="test"):
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
        request = urllib.request.Request(f"{self.url}/_aws/execute-api/{outputs['Api']}/$default{path}", method=method, data=b"{}" if method == "POST" else None)
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

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
    mended = True

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(mended=cls.mended)
        cls.addClassCleanup(cls.engine.stop)
        cls.outputs = cls.engine.deploy()

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
        with urllib.request.urlopen(f"{self.engine.url}/_ministack/ses/messages") as response:
            shown = json.load(response)
        mails = [mail for account in shown["messages"].values() for mail in account]
        return next(mail for mail in mails if mail["MessageId"] == message_id)

    def warm_invocation_ms(self) -> float:
        """The median of ten, after the first, which starts the function."""
        invoke = self.engine.client("lambda").invoke
        took = []
        for _ in range(11):
            began = time.monotonic()
            invoke(FunctionName=self.outputs["Function"], Payload=b'{"rawPath": "/"}')
            took.append((time.monotonic() - began) * 1000)
        return sorted(took[1:])[5]


class Gaps(OfAnEngine):
    """The engine without engine.py. A test that fails here is good news: see the head of this file."""

    mended = False

    def test_routes_of_an_http_api_are_not_imported(self):
        self.assertEqual(self.engine.http(self.outputs, "POST", "/orders")[0], 404)

    def test_fifo_attributes_of_a_topic_are_dropped(self):
        attributes = self.engine.client("sns").get_topic_attributes(TopicArn=self.outputs["Topic"])["Attributes"]
        self.assertNotIn("FifoTopic", attributes)

    def test_headers_of_a_mail_are_dropped(self):
        self.assertNotIn("Headers", self.sent_mail())

    def test_a_warm_invocation_waits_for_nagle(self):
        self.assertGreater(self.warm_invocation_ms(), 35)


class Mended(OfAnEngine):
    """The engine as the local run starts it: the gaps closed, and the facts that the functions, the tests and xtask lean on."""

    def test_routes_of_an_http_api_are_imported_with_their_parameters(self):
        self.assertEqual(self.engine.http(self.outputs, "POST", "/orders")[0], 202)
        status, body = self.engine.http(self.outputs, "GET", "/orders/17")
        self.assertEqual((status, json.loads(body)["parameters"]), (202, {"order_id": "17"}))
        self.assertEqual(self.engine.http(self.outputs, "GET", "/elsewhere")[0], 404)

    def test_fifo_attributes_of_a_topic_are_kept(self):
        attributes = self.engine.client("sns").get_topic_attributes(TopicArn=self.outputs["Topic"])["Attributes"]
        self.assertEqual((attributes["FifoTopic"], attributes["FifoThroughputScope"]), ("true", "MessageGroup"))

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

    def test_the_send_rate_is_not_that_of_a_new_account(self):
        self.assertGreaterEqual(self.engine.client("sesv2").get_account()["SendQuota"]["MaxSendRate"], 100)

    def test_a_warm_invocation_is_quick(self):
        self.assertLess(self.warm_invocation_ms(), 35)

    def test_functions_inherit_the_engines_environment_and_so_its_endpoint(self):
        _, body = self.engine.http(self.outputs, "POST", "/orders")
        self.assertIn(str(self.engine.port), json.loads(body)["endpoint"])

    def test_a_role_is_enforced_and_batch_calls_are_actions_of_their_own(self):
        credentials = self.engine.client("sts").assume_role(RoleArn=self.role_arn(), RoleSessionName="contract")["Credentials"]
        # The session's token is what names the role.
        session = boto3.Session(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"], region_name="us-east-1")
        sns, sqs = (session.client(service, endpoint_url=self.engine.url) for service in ("sns", "sqs"))
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

    def role_arn(self):
        return self.engine.client("iam").get_role(RoleName=self.outputs["Role"])["Role"]["Arn"]

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

    def messages(self, queue) -> int:
        attributes = self.engine.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesNotVisible"])

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

    def test_a_fifo_queue_swallows_a_known_deduplication_id_and_passes_a_fresh_one(self):
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

    def test_logs_go_to_the_group_that_the_function_names(self):
        self.engine.http(self.outputs, "POST", "/orders")
        logs = self.engine.client("logs")
        until(lambda: logs.filter_log_events(logGroupName=self.outputs["LogGroup"], filterPattern="handled")["events"])


class Ends(unittest.TestCase):
    """How an engine and its functions end: what `down`, Ctrl-C and a killed xtask lean on."""

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


if __name__ == "__main__":
    unittest.main()
