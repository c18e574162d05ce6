"""Every operation of the API, called by boto3 with its default settings.

Usage: python boto3_smoke.py ENDPOINT_URL

Makes one table with a name of its own and deletes it. What it compares it
reads consistently, so that it holds for a replicated store as well.
"""

import sys
import uuid
from decimal import Decimal

import boto3
from boto3.dynamodb.conditions import Attr
from boto3.dynamodb.types import Binary
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
TABLE = "smoke-" + uuid.uuid4().hex
SETTINGS = dict(
    endpoint_url=ENDPOINT,
    region_name="eu-west-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
client = boto3.client("dynamodb", **SETTINGS)
table = boto3.resource("dynamodb", **SETTINGS).Table(TABLE)


def refused(code, call, **arguments):
    """Calls, and returns the error, which must have this code."""
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        return error.response
    raise AssertionError(f"not refused with {code}: {arguments}")


def equal(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def tables():
    made = client.create_table(
        TableName=TABLE,
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "at", "AttributeType": "N"},
        ],
        KeySchema=[
            {"AttributeName": "id", "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]
    assert made["TableStatus"] in ("CREATING", "ACTIVE"), made
    # boto3's own default is to look every 20 seconds; only that is hastened.
    client.get_waiter("table_exists").wait(
        TableName=TABLE, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    shown = client.describe_table(TableName=TABLE)["Table"]
    equal(shown["TableStatus"], "ACTIVE")
    equal([k["AttributeName"] for k in shown["KeySchema"]], ["id", "at"])
    equal(shown["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST")
    assert shown["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"].year > 2000, shown
    equal((shown["ItemCount"], shown["TableSizeBytes"]), (0, 0))
    assert shown["TableArn"].startswith("arn:aws:dynamodb:eu-west-1:"), shown
    assert shown["CreationDateTime"].year > 2000, shown
    names = [n for page in client.get_paginator("list_tables").paginate() for n in page["TableNames"]]
    assert TABLE in names, names
    refused(
        "ResourceInUseException",
        client.create_table,
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    refused("ResourceNotFoundException", client.describe_table, TableName="no-such-" + TABLE)
    refused(
        "ResourceNotFoundException",
        client.get_item,
        TableName="no-such-" + TABLE,
        Key={"id": {"S": "a"}},
    )
    endpoints = client.describe_endpoints()["Endpoints"]
    assert endpoints[0]["Address"], endpoints


def values():
    item = {
        "id": "values",
        "at": Decimal("-1.5"),
        "text": "žluťoučký ☃ \U0001f600",
        "empty": "",
        "big": Decimal("12345678901234567890123456789012345678"),
        "small": Decimal("1E-130"),
        "plain": Decimal("1000"),
        "bytes": Binary(bytes(range(256))),
        "yes": True,
        "nothing": None,
        "list": [1, "two", [Decimal("3.25")], {"four": 4}],
        "map": {"a": {"b": {"c": [0, 1, 2]}}},
        "strings": {"a", "b"},
        "numbers": {Decimal("1"), Decimal("2.5")},
        "binaries": {Binary(b"x"), Binary(b"yy")},
    }
    table.put_item(Item=item)
    found = table.get_item(Key={"id": "values", "at": Decimal("-1.50")}, ConsistentRead=True)
    equal(found["Item"], item)
    part = table.get_item(
        Key={"id": "values", "at": Decimal("-1.5")},
        ProjectionExpression="#m.a.b.c[2], #l[1], absent",
        ExpressionAttributeNames={"#m": "map", "#l": "list"},
        ReturnConsumedCapacity="TOTAL",
        ConsistentRead=True,
    )
    equal(part["Item"], {"map": {"a": {"b": {"c": [2]}}}, "list": ["two"]})
    equal(part["ConsumedCapacity"], {"TableName": TABLE, "CapacityUnits": 1.0})
    absent = table.get_item(Key={"id": "absent", "at": 0}, ReturnConsumedCapacity="TOTAL")
    assert "Item" not in absent, absent
    equal(absent["ConsumedCapacity"]["CapacityUnits"], 0.5)
    too_long = {"id": {"S": "n"}, "at": {"N": "1"}, "n": {"N": "1" * 39}}
    error = refused("ValidationException", client.put_item, TableName=TABLE, Item=too_long)
    assert "38 significant digits" in error["Error"]["Message"], error


def conditions():
    key = {"id": "lock", "at": 1}
    table.put_item(Item={**key, "owner": "a"}, ConditionExpression=Attr("id").not_exists())
    error = refused(
        "ConditionalCheckFailedException",
        client.put_item,
        TableName=TABLE,
        Item={"id": {"S": "lock"}, "at": {"N": "1"}, "owner": {"S": "b"}},
        ConditionExpression="attribute_not_exists(id)",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    equal(error["Item"]["owner"], {"S": "a"})
    equal(error["Error"]["Message"], "The conditional request failed")
    error = refused(
        "ConditionalCheckFailedException",
        table.put_item,
        Item={**key, "owner": "b"},
        ConditionExpression=Attr("owner").eq("x"),
    )
    assert "Item" not in error, error
    old = table.put_item(
        Item={**key, "owner": "b", "n": 5},
        ConditionExpression=(Attr("owner").eq("a") & ~Attr("n").exists()) | Attr("n").between(1, 2),
        ReturnValues="ALL_OLD",
    )
    equal(old["Attributes"], {**key, "owner": "a"})
    table.put_item(
        Item={**key, "owner": "bcd", "n": 5},
        ConditionExpression=Attr("n").is_in([4, 5])
        & Attr("owner").begins_with("b")
        & Attr("owner").contains("b")
        & Attr("owner").size().eq(1)
        & Attr("owner").attribute_type("S"),
    )
    client.exceptions.ConditionalCheckFailedException  # boto3 models it
    refused(
        "ConditionalCheckFailedException",
        table.delete_item,
        Key=key,
        ConditionExpression="n < :n",
        ExpressionAttributeValues={":n": 5},
    )
    gone = table.delete_item(
        Key=key,
        ConditionExpression="n >= :n",
        ExpressionAttributeValues={":n": 5},
        ReturnValues="ALL_OLD",
    )
    equal(gone["Attributes"]["owner"], "bcd")
    assert "Attributes" not in table.delete_item(Key=key, ReturnValues="ALL_OLD")
    error = refused(
        "ValidationException",
        table.put_item,
        Item=key,
        ConditionExpression="attribute_not_exists(id)",
        ExpressionAttributeValues={":unused": 1},
    )
    assert ":unused" in error["Error"]["Message"], error
    refused("ValidationException", table.put_item, Item=key, ConditionExpression="a = = b")
    refused("ValidationException", table.put_item, Item={"id": "no sort key"})


def updates():
    key = {"id": "counter", "at": 1}
    made = table.update_item(
        Key=key,
        UpdateExpression="SET #l = list_append(if_not_exists(#l, :none), :two), n = :n ADD tags :tags",
        ExpressionAttributeNames={"#l": "list"},
        ExpressionAttributeValues={":none": [], ":two": [1, 2], ":n": 1, ":tags": {"x", "y"}},
        ReturnValues="ALL_NEW",
    )
    equal(made["Attributes"], {**key, "list": [1, 2], "n": 1, "tags": {"x", "y"}})
    for _ in range(3):
        table.update_item(
            Key=key, UpdateExpression="ADD hits :one", ExpressionAttributeValues={":one": 1}
        )
    changed = table.update_item(
        Key=key,
        UpdateExpression="SET n = n + :d, m = hits - :d, #l[1] = :x REMOVE #l[0] DELETE tags :tags",
        ExpressionAttributeNames={"#l": "list"},
        ExpressionAttributeValues={":d": Decimal("0.5"), ":x": "x", ":tags": {"x"}},
        ReturnValues="UPDATED_NEW",
    )["Attributes"]
    equal(changed["n"], Decimal("1.5"))
    equal(changed["m"], Decimal("2.5"))
    equal(changed["tags"], {"y"})
    equal(table.get_item(Key=key, ConsistentRead=True)["Item"]["list"], ["x"])
    before = table.update_item(
        Key=key,
        UpdateExpression="SET n = :z",
        ConditionExpression="hits = :h",
        ExpressionAttributeValues={":z": 0, ":h": 3},
        ReturnValues="UPDATED_OLD",
        ReturnConsumedCapacity="INDEXES",
    )
    equal(before["Attributes"], {"n": Decimal("1.5")})
    equal(before["ConsumedCapacity"]["Table"]["CapacityUnits"], 1.0)
    for wrong in ("SET id = :z", "SET absent.x = :z", "SET n = :z, n = :z", "ADD id :z"):
        refused(
            "ValidationException",
            table.update_item,
            Key=key,
            UpdateExpression=wrong,
            ExpressionAttributeValues={":z": 1},
        )
    refused("ValidationException", table.update_item, Key=key, UpdateExpression="SET n = absent")
    error = refused(
        "ValidationException",
        table.update_item,
        Key=key,
        AttributeUpdates={"n": {"Value": 1, "Action": "PUT"}},
    )
    assert "AttributeUpdates" in error["Error"]["Message"], error


def batches():
    with table.batch_writer() as batch:
        for n in range(60):
            batch.put_item(Item={"id": f"batch-{n % 5}", "at": n, "n": n, "pad": "x" * 100})
    with table.batch_writer() as batch:
        batch.delete_item(Key={"id": "batch-4", "at": 59})
    keys = [{"id": {"S": f"batch-{n % 5}"}, "at": {"N": str(n)}} for n in range(60)]
    reply = client.batch_get_item(
        RequestItems={TABLE: {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "n"}},
        ReturnConsumedCapacity="TOTAL",
    )
    equal(reply["UnprocessedKeys"], {})
    equal(sorted(int(i["n"]["N"]) for i in reply["Responses"][TABLE]), list(range(59)))
    equal(reply["ConsumedCapacity"], [{"TableName": TABLE, "CapacityUnits": 60.0}])
    refused(
        "ValidationException",
        client.batch_get_item,
        RequestItems={TABLE: {"Keys": [keys[0], keys[0]]}},
    )
    writes = [{"DeleteRequest": {"Key": key}} for key in keys[:26]]
    refused("ValidationException", client.batch_write_item, RequestItems={TABLE: writes})
    reply = client.batch_write_item(RequestItems={TABLE: writes[:2]}, ReturnConsumedCapacity="TOTAL")
    equal(reply["UnprocessedItems"], {})
    equal(reply["ConsumedCapacity"][0]["CapacityUnits"], 2.0)


def scans():
    wanted = sorted(range(2, 59))
    arguments = dict(
        TableName=TABLE,
        FilterExpression="begins_with(id, :p)",
        ExpressionAttributeValues={":p": {"S": "batch-"}},
        ProjectionExpression="n",
        ConsistentRead=True,
    )
    pages = list(client.get_paginator("scan").paginate(**arguments, PaginationConfig={"PageSize": 10}))
    assert len(pages) > 5, len(pages)
    equal(sorted(int(i["n"]["N"]) for page in pages for i in page["Items"]), wanted)
    assert all(page["ScannedCount"] <= 10 for page in pages)
    assert all(page["Count"] == len(page["Items"]) for page in pages)
    split = []
    for segment in range(3):
        for page in client.get_paginator("scan").paginate(
            **arguments, Segment=segment, TotalSegments=3
        ):
            split += [int(i["n"]["N"]) for i in page["Items"]]
    equal(sorted(split), wanted)
    count = 0
    start = {}
    while True:
        page = client.scan(TableName=TABLE, Select="COUNT", ConsistentRead=True, **start)
        assert "Items" not in page, page
        count += page["Count"]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    equal(count, len(wanted) + 2)
    found = table.scan(FilterExpression=Attr("n").lt(5) & Attr("pad").exists())
    assert all(set(item) == {"id", "at", "n", "pad"} for item in found["Items"]), found
    error = refused("ValidationException", client.scan, TableName=TABLE, IndexName="some")
    assert "IndexName" in error["Error"]["Message"], error


def as_on_aws():
    """What works here and not there would be found too late."""
    key = {"id": "aws", "at": 1}
    for wrong in ("SET status = :v", "SET #n = :v, _x = :v", "SET #n = list_append(list_append(:v, :v), :v)"):
        names = {"#n": "name"} if "#n" in wrong else {}
        refused(
            "ValidationException",
            table.update_item,
            Key=key,
            UpdateExpression=wrong,
            ExpressionAttributeValues={":v": []},
            **({"ExpressionAttributeNames": names} if names else {}),
        )
    for wrong in ("((n = :v))", "contains(n, n)", "n = :v AND date = :v"):
        refused(
            "ValidationException",
            table.put_item,
            Item=key,
            ConditionExpression=wrong,
            ExpressionAttributeValues={":v": 1},
        )
    none = table.update_item(Key=key, UpdateExpression="REMOVE n, x.y", ReturnValues="ALL_NEW")
    assert "Attributes" not in none, none
    assert "Item" not in table.get_item(Key=key, ConsistentRead=True)
    deep = "n = :v OR (" * 149 + "n = :v" + ")" * 149
    table.put_item(
        Item=key,
        ConditionExpression="NOT size(:s) < :v AND attribute_type(:s, :t) AND a <> b",
        ExpressionAttributeValues={":s": "x", ":v": 1, ":t": "S"},
    )
    refused(
        "ConditionalCheckFailedException",
        table.put_item,
        Item=key,
        ConditionExpression=deep,
        ExpressionAttributeValues={":v": 1},
    )
    arn = client.describe_table(TableName=TABLE)["Table"]["TableArn"]
    equal(client.describe_table(TableName=arn)["Table"]["TableName"], TABLE)
    plain = {"id": {"S": "aws"}, "at": {"N": "1"}}
    equal(client.get_item(TableName=arn, Key=plain, ConsistentRead=True)["Item"], plain)
    client.delete_item(TableName=arn, Key=plain)


def unsupported():
    refused(
        "UnknownOperationException",
        client.execute_statement,
        Statement="SELECT * FROM nothing",
    )


def cleanup():
    gone = client.delete_table(TableName=TABLE)["TableDescription"]
    equal(gone["TableStatus"], "DELETING")
    client.get_waiter("table_not_exists").wait(
        TableName=TABLE, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    refused("ResourceNotFoundException", client.delete_table, TableName=TABLE)


tables()
try:
    for check in (values, conditions, updates, batches, scans, as_on_aws, unsupported):
        check()
        print("ok", check.__name__)
finally:
    cleanup()
print("ok")
