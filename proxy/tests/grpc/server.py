"""A gRPC server without generated code: messages are bytes. Prints its port, and ends with its stdin."""

import json
import sys
import threading
from concurrent import futures

import grpc

LOCK = threading.Lock()
SEEN = {"cancelled": 0, "sleeping": 0, "metadata": [], "remaining": None, "peers": []}


def note(context):
    with LOCK:
        SEEN["metadata"] = [
            [key, value if isinstance(value, str) else value.hex()] for key, value in context.invocation_metadata()
        ]
        SEEN["remaining"] = context.time_remaining()
        if context.peer() not in SEEN["peers"]:
            SEEN["peers"].append(context.peer())


def count_end(context):
    """Counts the end of a call whose method does not end by itself. Returns what to wait for."""
    ended = threading.Event()

    def count():
        with LOCK:
            SEEN["cancelled"] += 1
        ended.set()

    context.add_callback(count)
    return ended


def unary(request, context):
    note(context)
    context.send_initial_metadata((("x-first", "1"), ("x-first-bin", b"\x00\xff")))
    context.set_trailing_metadata(
        (("x-last", "2"), ("x-last-bin", b"\x00\xfe"), ("x_under_score", "3"), ("etag", "4"), ("x-trace-id", "5"))
    )
    return request


def fail(request, context):
    context.set_trailing_metadata((("x-reason", "gone"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ü")


def break_off(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.DATA_LOSS, "the rest is lost")


def down(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def up(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def both(requests, context):
    note(context)
    for request in requests:
        yield request


def hold(requests, context):
    """As both, for calls that their client cancels: the requests of such a call may just end here."""
    ended = count_end(context)
    for request in requests:
        yield request
    ended.wait(60)


def enough(requests, context):
    """Answers after the first message, whatever comes after it."""
    return next(requests)


def sleep(request, context):
    note(context)
    ended = count_end(context)
    with LOCK:
        SEEN["sleeping"] += 1
    ended.wait(60)
    return b"late"


def seen(request, context):
    with LOCK:
        return json.dumps(SEEN).encode()


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Seen": grpc.unary_unary_rpc_method_handler(seen),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Down": grpc.unary_stream_rpc_method_handler(down),
    "BreakOff": grpc.unary_stream_rpc_method_handler(break_off),
    "Up": grpc.stream_unary_rpc_method_handler(up),
    "Enough": grpc.stream_unary_rpc_method_handler(enough),
    "Hold": grpc.stream_stream_rpc_method_handler(hold),
    "Both": grpc.stream_stream_rpc_method_handler(both),
}


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Calls", METHODS),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main()
