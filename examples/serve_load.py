"""Asks a server of serve.py from many connections at once, compares what it answers with onnxruntime in this process, and tells how fast it was.

    python serve_load.py heat.onnx --predict model.onnx --samples x.npy --clients 16 --seconds 10

Starts the server itself on a free port of the loopback interface, unless --port says where one runs.
"""
import argparse
import asyncio
import io
import pathlib
import socket
import subprocess
import sys
import time

import numpy
import onnxruntime


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def post(reader, writer, path, body):
    writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nAccept: application/zip\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


async def client(number, port, path, bodies, expected, until, seen):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    place = number
    while time.perf_counter() < until:
        k, start = place % len(bodies), time.perf_counter()
        status, answer = await post(reader, writer, path, bodies[k])
        seen["times"].append(time.perf_counter() - start)
        place += 1
        if status != 200:
            raise SystemExit(f"{path} answered {status}: {answer[:200]!r}")
        with numpy.load(io.BytesIO(answer)) as found:
            for name, wanted in expected[k].items():
                size = numpy.abs(wanted).max() or 1.0
                seen["error"] = max(seen["error"], float(numpy.abs(found[name] - wanted).max() / size))
    writer.close()


async def load(port, path, bodies, expected, clients, seconds):
    seen = {"times": [], "error": 0.0}
    start = time.perf_counter()
    await asyncio.gather(*(client(n, port, path, bodies, expected, start + seconds, seen) for n in range(clients)))
    spent, times = time.perf_counter() - start, sorted(seen["times"])
    at = lambda part: 1e3 * times[min(int(part * len(times)), len(times) - 1)]  # noqa: E731
    print(f"{path:20} {clients:3} clients  {len(times) / spent:8.1f} answers/s  median {at(.5):7.1f} ms  99 % {at(.99):7.1f} ms  "
          f"largest difference {seen['error']:.1e}", flush=True)
    if not seen["error"] <= 1e-5:
        raise SystemExit("the answers differ from those of onnxruntime in this process by more than 1e-5")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("explain")
    parser.add_argument("--predict")
    parser.add_argument("--samples", help="a .npy file; random numbers otherwise")
    parser.add_argument("--clients", type=int, action="append")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    session = onnxruntime.InferenceSession(options.explain, providers=["CPUExecutionProvider"])
    model = onnxruntime.InferenceSession(options.predict, providers=["CPUExecutionProvider"]) if options.predict else None
    names, shape = [o.name for o in session.get_outputs()], session.get_inputs()[0].shape[1:]
    x = numpy.load(options.samples)[:32] if options.samples else numpy.random.default_rng(7).random((32, *shape))
    x = x.astype(numpy.float32)
    bodies, expected, scores = [], [], []
    for sample in x:
        body = io.BytesIO()
        numpy.save(body, sample)
        bodies.append(body.getvalue())
        feed = {"x": sample[None], "target": numpy.zeros(1, numpy.int64)}
        feed = {info.name: value for info, value in zip(session.get_inputs(), feed.values())}
        first = session.run(["scores"], feed)[0]
        if len(feed) > 1:
            feed[session.get_inputs()[1].name] = first.argmax(1)
        expected.append(dict(zip(names, session.run(names, feed))))
        # The model itself may end in a softmax, which explanations start below.
        scores.append({"scores": model.run(None, {model.get_inputs()[0].name: sample[None]})[0] if model else first})
    port = options.port or free_port()
    server = None
    if not options.port:
        command = [sys.executable, str(pathlib.Path(__file__).with_name("serve.py")), options.explain, "--port", str(port)]
        server = subprocess.Popen(command + (["--predict", options.predict] if options.predict else []))
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        for clients in options.clients or [1, 16]:
            asyncio.run(load(port, "/predict", bodies, scores, clients, options.seconds))
            asyncio.run(load(port, "/explain", bodies, expected, clients, options.seconds))
    finally:
        if server:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
