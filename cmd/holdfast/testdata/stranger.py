"""A client that knows nothing of Holdfast: boto3 against the URL it is given."""

import json
import sys
import time

import boto3
from botocore.exceptions import ClientError

session = boto3.Session(
    aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
)
sqs = session.client("sqs", endpoint_url=sys.argv[1])
sns = session.client("sns", endpoint_url=sys.argv[1])


def arn(url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def receive(url):
    return sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    ).get("Messages", [])


# Queues, one of them a dead-letter queue.
dlq = sqs.create_queue(QueueName="orders-dlq", tags={"team": "shop"})["QueueUrl"]
orders = sqs.create_queue(
    QueueName="orders",
    Attributes={
        "VisibilityTimeout": "0",
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn(dlq), "maxReceiveCount": 1}),
    },
)["QueueUrl"]
assert sqs.list_queue_tags(QueueUrl=dlq)["Tags"] == {"team": "shop"}
assert sqs.list_dead_letter_source_queues(QueueUrl=dlq)["queueUrls"] == [orders]
assert sqs.list_queues(QueueNamePrefix="orders")["QueueUrls"] == [orders, dlq]

# A topic that may send to the queue, and a subscription with a filter policy.
events = sns.create_topic(Name="events")["TopicArn"]
sqs.set_queue_attributes(
    QueueUrl=orders,
    Attributes={
        "Policy": json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "sns.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": arn(orders),
                        "Condition": {"ArnEquals": {"aws:SourceArn": events}},
                    }
                ],
            }
        )
    },
)
subscription = sns.subscribe(
    TopicArn=events,
    Protocol="sqs",
    Endpoint=arn(orders),
    Attributes={"FilterPolicy": json.dumps({"kind": ["order"]})},
    ReturnSubscriptionArn=True,
)["SubscriptionArn"]
assert [s["SubscriptionArn"] for s in sns.list_subscriptions()["Subscriptions"]] == [subscription]

# What the filter lets through arrives, in an envelope. boto3 checks the MD5s.
for kind in ("refund", "order"):
    sns.publish(
        TopicArn=events,
        Message=f"a {kind}",
        MessageAttributes={"kind": {"DataType": "String", "StringValue": kind}},
    )
(message,) = receive(orders)
envelope = json.loads(message["Body"])
assert envelope["Type"] == "Notification" and envelope["Message"] == "a order", envelope
assert envelope["TopicArn"] == events and envelope["MessageAttributes"]["kind"]["Value"] == "order", envelope

# Received once too often it is dead-lettered, and a move task brings it back.
assert receive(orders) == []
(dead,) = receive(dlq)
assert dead["Attributes"]["DeadLetterQueueSourceArn"] == arn(orders), dead
sqs.change_message_visibility(QueueUrl=dlq, ReceiptHandle=dead["ReceiptHandle"], VisibilityTimeout=0)
sqs.start_message_move_task(SourceArn=arn(dlq))
for _ in range(100):
    (task,) = sqs.list_message_move_tasks(SourceArn=arn(dlq))["Results"]
    if task["Status"] != "RUNNING":
        break
    time.sleep(0.05)
assert task["Status"] == "COMPLETED" and task["ApproximateNumberOfMessagesMoved"] == 1, task
(back,) = receive(orders)
assert back["Body"] == message["Body"] and back["MessageId"] != message["MessageId"], back
assert back["Attributes"]["ApproximateReceiveCount"] == "1", back
sqs.delete_message(QueueUrl=orders, ReceiptHandle=back["ReceiptHandle"])

# Batches, all types of attributes, and a FIFO queue.
fifo = sqs.create_queue(QueueName="jobs.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"})["QueueUrl"]
sent = sqs.send_message_batch(
    QueueUrl=fifo,
    Entries=[
        {
            "Id": str(i),
            "MessageBody": f"\u00fc{i}",
            "MessageGroupId": "g",
            "MessageAttributes": {
                "n": {"DataType": "Number", "StringValue": str(i)},
                "b": {"DataType": "Binary", "BinaryValue": bytes([0, i])},
            },
        }
        for i in range(3)
    ],
)
assert len(sent["Successful"]) == 3 and "Failed" not in sent, sent
got = receive(fifo)
assert [m["Body"] for m in got] == ["\u00fc0", "\u00fc1", "\u00fc2"], got
assert got[2]["MessageAttributes"]["b"]["BinaryValue"] == b"\x00\x02", got
result = sqs.delete_message_batch(
    QueueUrl=fifo,
    Entries=[{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(got)]
    + [{"Id": "x", "ReceiptHandle": "made up"}],
)
assert len(result["Successful"]) == 3 and result["Failed"][0]["Code"] == "ReceiptHandleIsInvalid", result

# Errors are of the types that boto3 knows.
try:
    sqs.get_queue_url(QueueName="none")
    raise AssertionError("a queue that does not exist was found")
except sqs.exceptions.QueueDoesNotExist as err:
    assert err.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue", err.response
try:
    sns.publish(TopicArn=events + "x", Message="x")
    raise AssertionError("a topic that does not exist was published to")
except sns.exceptions.NotFoundException:
    pass
try:
    sqs.send_message(QueueUrl=orders, MessageBody="\x01")
    raise AssertionError("a character that SQS forbids was sent")
except ClientError as err:
    assert err.response["Error"]["Code"] == "InvalidMessageContents", err.response

print("boto3", boto3.__version__, "is content")
