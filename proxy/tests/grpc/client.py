"""Calls through a proxy: `client.py ADDRESS CASE`. Fails loudly, and says nothing otherwise."""

import json
import queue
import sys
import time

import grpc

PATIENCE = 30


class Calls:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),))

    def unary(self, name):
        return self.channel.unary_unary(f"/test.Calls/{name}")

    def down(self, name):
        return self.channel.unary_stream(f"/test.Calls/{name}")

    def up(self, name):
        return self.channel.stream_unary(f"/test.Calls/{name}")

    def both(self, name):
        return self.channel.stream_stream(f"/test.Calls/{name}")

    def seen(self):
        return json.loads(self.unary("Seen")(b"", timeout=PATIENCE))


class Requests:
    """Messages of a stream, sent when they are added."""

    def __init__(self):
        self.queue = queue.Queue()

    def add(self, message):
        self.queue.put(message)

    def end(self):
        self.queue.put(None)

    def __iter__(self):
        return iter(self.queue.get, None)


def equal(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def until(what, is_so):
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: for ever"
        time.sleep(0.01)


def failure(call):
    try:
        result = call()
        if not isinstance(result, bytes):
            result = list(result)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"no failure, but {result!r}")


def unary(calls):
    metadata = (("x-sent", "1"), ("x-sent-bin", b"\x00\xfd"), ("x_sent_score", "2"))
    reply, call = calls.unary("Unary").with_call(b"hello", timeout=PATIENCE, metadata=metadata)
    equal(reply, b"hello")
    equal(call.code(), grpc.StatusCode.OK)
    first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
    equal((first["x-first"], first["x-first-bin"]), ("1", b"\x00\xff"))
    equal((last["x-last"], last["x-last-bin"], last["x_under_score"], last["etag"]), ("2", b"\x00\xfe", "3", "4"))
    seen = calls.seen()
    sent = {key: value for key, value in seen["metadata"]}
    equal((sent["x-sent"], sent["x-sent-bin"], sent["x_sent_score"]), ("1", "00fd", "2"))
    assert 0 < seen["remaining"] <= PATIENCE, seen["remaining"]
    big = bytes(3 << 20)
    equal(calls.unary("Unary")(big, timeout=PATIENCE), big)
    equal(calls.unary("Unary")(b"", timeout=PATIENCE), b"")


def fail(calls):
    error = failure(lambda: calls.unary("Fail")(b"", timeout=PATIENCE))
    equal(error.code(), grpc.StatusCode.NOT_FOUND)
    equal(error.details(), "no such thing: ü")
    equal(dict(error.trailing_metadata())["x-reason"], "gone")
    missing = failure(lambda: calls.unary("Missing")(b"", timeout=PATIENCE))
    equal(missing.code(), grpc.StatusCode.UNIMPLEMENTED)


def down(calls):
    replies = [int(reply) for reply in calls.down("Down")(b"5000", timeout=PATIENCE)]
    equal(replies, list(range(5000)))
    equal(list(calls.down("Down")(b"0", timeout=PATIENCE)), [])


def up(calls):
    # 64 MiB: four times the limit of other requests' content.
    reply = calls.up("Up")((bytes(64 << 10) for _ in range(1024)), timeout=PATIENCE)
    equal(int(reply), 64 << 20)
    equal(calls.up("Up")(iter(()), timeout=PATIENCE), b"0")


def both(calls):
    requests = Requests()
    replies = calls.both("Both")(iter(requests), timeout=PATIENCE)
    for number in range(200):
        message = b"%d" % number
        requests.add(message)
        equal(next(replies), message)  # nothing is held back: the next one waits for this
    requests.end()
    equal(list(replies), [])
    equal(replies.code(), grpc.StatusCode.OK)


def pauses(calls):
    """Longer than `idle_timeout` and `limits.body_timeout`, which are a second."""
    requests = Requests()
    replies = calls.both("Both")(iter(requests), timeout=PATIENCE)
    for message in (b"one", b"two"):
        requests.add(message)
        equal(next(replies), message)
        time.sleep(3)
    requests.end()
    equal(list(replies), [])


def break_off(calls):
    replies = calls.down("BreakOff")(b"", timeout=PATIENCE)
    equal([next(replies), next(replies)], [b"one", b"two"])
    error = failure(lambda: next(replies))
    equal((error.code(), error.details()), (grpc.StatusCode.DATA_LOSS, "the rest is lost"))


def enough(calls):
    requests = Requests()
    requests.add(b"first")
    equal(calls.up("Enough")(iter(requests), timeout=PATIENCE), b"first")
    requests.end()
    equal(calls.unary("Unary")(b"after", timeout=PATIENCE), b"after")


def deadline(calls):
    before = calls.seen()["cancelled"]
    error = failure(lambda: calls.unary("Sleep")(b"", timeout=0.5))
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    until("the server learns of it", lambda: calls.seen()["cancelled"] == before + 1)
    remaining = calls.seen()["remaining"]
    assert 0 < remaining < 0.6, remaining


def cancel(calls):
    before = calls.seen()["cancelled"]
    requests = Requests()
    replies = calls.both("Hold")(iter(requests))
    requests.add(b"one")
    equal(next(replies), b"one")
    replies.cancel()
    until("the server learns of it", lambda: calls.seen()["cancelled"] == before + 1)
    waiting = calls.unary("Sleep").future(b"")
    until("the call is there", lambda: calls.seen()["sleeping"] == 1)
    waiting.cancel()
    until("the server learns of it, too", lambda: calls.seen()["cancelled"] == before + 2)
    requests.end()


def many(calls):
    futures = [calls.unary("Unary").future(b"%d" % number, timeout=PATIENCE) for number in range(400)]
    equal([future.result() for future in futures], [b"%d" % number for number in range(400)])
    peers = calls.seen()["peers"]
    assert len(peers) <= 8, f"{len(peers)} connections to the server"


def unavailable(calls):
    error = failure(lambda: calls.unary("Unary")(b"", timeout=PATIENCE))
    equal(error.code(), grpc.StatusCode.UNAVAILABLE)


def killed(calls):
    """The server is killed by who reads this line."""
    requests = Requests()
    replies = calls.both("Both")(iter(requests), timeout=PATIENCE)
    requests.add(b"one")
    equal(next(replies), b"one")
    print("killing", flush=True)
    error = failure(lambda: next(replies))
    assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL), error.code()
    requests.end()


CASES = {
    case.__name__: case
    for case in (
        unary, fail, down, up, both, pauses, break_off, enough, deadline, cancel, many, unavailable, killed
    )
}  # fmt: skip

if __name__ == "__main__":
    CASES[sys.argv[2]](Calls(sys.argv[1]))
