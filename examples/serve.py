"""Prediction and explanation over HTTP, from a file that `rulegrad export` wrote, with onnxruntime and nothing of rulegrad.

    rulegrad export model.onnx --method gradient --method lrp.epsilon_plus_flat --target given --output heat.onnx
    pip install numpy onnxruntime starlette uvicorn pillow
    python serve.py heat.onnx --predict model.onnx --port 8000

    GET  /         what the file holds: methods, labels, digests of model and rules
    POST /predict  the scores; with --predict what the model itself gives, which may be probabilities
    POST /explain  the scores, which of them is explained, and a map for each method

The body is a picture (image/*), a .npy array of one sample or a batch (application/octet-stream), or JSON {"x": [[...]], "target": 3}; the
target may also stand in the address, /explain?target=3, and is the largest score otherwise. The answer is JSON, or an .npz archive
where the client accepts application/zip. Requests that arrive together are computed as one batch of at most --batch samples.
"""
import argparse
import asyncio
import concurrent.futures
import io
import json

import numpy
import onnxruntime
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TYPES = {"tensor(float)": numpy.float32, "tensor(double)": numpy.float64}


class Refused(ValueError):
    """What the client did wrong."""


class Batches:
    """Runs a session on what waits, several requests at once; one run at a time."""

    def __init__(self, session, most):
        self.session, self.most = session, most
        self.waiting = asyncio.Queue()
        self.thread = concurrent.futures.ThreadPoolExecutor(1)

    async def run(self, inputs):
        answer = asyncio.get_running_loop().create_future()
        await self.waiting.put((inputs, answer))
        return await answer

    async def work(self):
        held = None
        while True:
            group = [held or await self.waiting.get()]
            held, samples = None, len(group[0][0][0])
            while samples < self.most and not self.waiting.empty():
                held = self.waiting.get_nowait()
                if samples + len(held[0][0]) > self.most:
                    break
                samples += len(held[0][0])
                group.append(held)
                held = None
            names = [info.name for info in self.session.get_inputs()]
            feed = {name: numpy.concatenate([inputs[place] for inputs, _ in group]) for place, name in enumerate(names)}
            try:
                found = await asyncio.get_running_loop().run_in_executor(self.thread, self.session.run, None, feed)
            except Exception as problem:  # the clients of this batch are told, the server goes on
                for _, answer in group:
                    answer.cancelled() or answer.set_exception(problem)
                continue
            first = 0
            for inputs, answer in group:
                last = first + len(inputs[0])
                answer.cancelled() or answer.set_result([value[first:last] for value in found])
                first = last


class Service:
    def __init__(self, explain, predict, batch, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = onnxruntime.get_available_providers()
        self.explainer = onnxruntime.InferenceSession(explain, options, providers=providers)
        # Without a file of its own a prediction is an explanation of which only the scores are told.
        predictor = onnxruntime.InferenceSession(predict, options, providers=providers) if predict else None
        self.explaining = Batches(self.explainer, batch)
        self.predicting = Batches(predictor, batch) if predictor else None
        self.input, *others = self.explainer.get_inputs()
        self.takes_target = [info.name for info in others] == ["target"]
        if others and not self.takes_target:
            raise SystemExit(f"{explain} has the inputs {', '.join(i.name for i in [self.input, *others])}; this server takes x, or x and target")
        # As JSON a number takes some 20 bytes; pictures may be larger than what the network sees.
        self.most_bytes = max(32 * batch * int(numpy.prod(self.input.shape[1:])), 32 << 20)
        self.names = [info.name for info in self.explainer.get_outputs()]
        self.metadata = self.explainer.get_modelmeta().custom_metadata_map
        self.labels = self.metadata.get("labels", "").split("\n") if "labels" in self.metadata else []

    async def samples(self, request):
        """x [N, ...], and the target or None."""
        target = request.query_params.get("target")
        kind, shape, body = request.headers.get("content-type", "").split(";")[0], self.input.shape[1:], b""
        async for part in request.stream():
            body += part
            if len(body) > self.most_bytes:
                raise Refused(f"the body is larger than {self.most_bytes} bytes")
        try:
            if kind == "application/json":
                found = json.loads(body)
                if not isinstance(found, dict) or "x" not in found:
                    raise ValueError('it must be {"x": [...]}, and "target" if one is wanted')
                target = found.get("target", target)
                x = numpy.array(found["x"])
            elif kind.startswith("image/"):
                from PIL import Image

                channels, height, width = shape
                picture = Image.open(io.BytesIO(body)).convert("L" if channels == 1 else "RGB").resize((width, height))
                x = numpy.asarray(picture, numpy.float32).reshape(height, width, channels).transpose(2, 0, 1)[None] / 255
            else:
                x = numpy.load(io.BytesIO(body), allow_pickle=False)
            target = None if target is None else int(target)
            x = x.astype(TYPES[self.input.type])
        except Exception as problem:
            raise Refused(f"the body is not what its type, {kind or 'none'}, says: {problem}") from None
        if list(x.shape) == shape:
            x = x[None]
        if list(x.shape[1:]) != shape or len(x) == 0:
            raise Refused(f"x is {list(x.shape)}; it must be {shape} or {['N', *shape]}")
        if len(x) > self.explaining.most:
            raise Refused(f"{len(x)} samples; at most {self.explaining.most} in a request")
        if not numpy.isfinite(x).all():
            raise Refused("x holds numbers that are not finite")
        return x, target

    async def predict(self, request):
        x, _ = await self.samples(request)
        if self.predicting:
            scores = (await self.predicting.run([x]))[0]
        else:
            scores = (await self.explaining.run([x, numpy.zeros(len(x), numpy.int64)] if self.takes_target else [x]))[0]
        return self.answer(request, {"scores": scores.reshape(len(x), -1)})

    async def explain(self, request):
        x, target = await self.samples(request)
        if not self.takes_target:
            if target is not None:
                raise Refused("this file explains the largest score; export it with --target given")
            found = await self.explaining.run([x])
            targets = found[0].argmax(1)
        else:
            if target is None:
                scores = (await (self.predicting.run([x]) if self.predicting else self.explaining.run([x, numpy.zeros(len(x), numpy.int64)])))[0]
                targets = scores.reshape(len(x), -1).argmax(1)
            else:
                targets = numpy.full(len(x), target, numpy.int64)
                scores = self.explainer.get_outputs()[0].shape[1]
                if not 0 <= target < scores:
                    raise Refused(f"target {target}: there are scores 0 to {scores - 1}")
            found = await self.explaining.run([x, targets])
        arrays = dict(zip(self.names, found))
        return self.answer(request, {"scores": arrays.pop("scores"), "target": targets, "attributions": arrays})

    def answer(self, request, arrays):
        if "application/zip" in request.headers.get("accept", ""):
            archive = io.BytesIO()
            numpy.savez(archive, **{**{k: v for k, v in arrays.items() if k != "attributions"}, **arrays.get("attributions", {})})
            return Response(archive.getvalue(), media_type="application/zip")
        if self.labels and "target" in arrays:
            arrays["label"] = numpy.array([self.labels[t] for t in arrays["target"]])

        def plain(value):
            return {key: plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value.tolist()

        return JSONResponse(plain(arrays))

    async def about(self, _):
        return JSONResponse({"input": {"name": self.input.name, "shape": self.input.shape}, "methods": self.names[1:], "labels": self.labels,
                             "metadata": {key: value for key, value in self.metadata.items() if key.startswith("rulegrad.")}})


def application(service):
    async def refused(_, problem):
        return JSONResponse({"error": str(problem)}, status_code=400)

    class Lifespan:
        """The workers live as long as the server."""

        def __init__(self, _):
            self.tasks = []

        async def __aenter__(self):
            self.tasks = [asyncio.create_task(batches.work()) for batches in (service.explaining, service.predicting) if batches]

        async def __aexit__(self, *_):
            for task in self.tasks:
                task.cancel()

    return Starlette(routes=[Route("/", service.about), Route("/predict", service.predict, methods=["POST"]),
                             Route("/explain", service.explain, methods=["POST"])],
                     exception_handlers={Refused: refused}, lifespan=Lifespan)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("explain", help="what rulegrad export wrote")
    parser.add_argument("--predict", help="the model itself, for requests that want no maps")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=32, help="samples that are computed at once (32)")
    parser.add_argument("--threads", type=int, default=0, help="of onnxruntime; 0: as many as there are cores")
    options = parser.parse_args()
    service = Service(options.explain, options.predict, options.batch, options.threads)
    uvicorn.run(application(service), host=options.host, port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
