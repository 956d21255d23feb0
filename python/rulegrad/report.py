"""A page of HTML that holds everything: pictures or tokens with their heat maps, the rules that ran, versions and digests.

The page needs no network and no other file. Sliders move the overlay and the percentile of the full colour.
"""

from __future__ import annotations

import base64
import html
import json
import sys
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from . import _core, _pictures

if TYPE_CHECKING:
    from ._explanation import Explanation

__all__ = ["page", "bars_html"]

STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#d5dae0;--quiet:#667}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--paper:#15181c;--line:#3a4048;--quiet:#9aa3ad}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2em auto;max-width:76em;padding:0 1em}
h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.15em;margin:1.6em 0 .4em}.quiet{color:var(--quiet)}
table{border-collapse:collapse;font-size:.88em}td,th{border-bottom:1px solid var(--line);padding:.2em .7em .2em 0;text-align:left;vertical-align:top}
.sample{border-top:1px solid var(--line);padding:1em 0}.row{display:flex;flex-wrap:wrap;gap:1.2em;align-items:flex-start}
figure{margin:0}figcaption{font-size:.85em;margin-top:.2em}canvas,img.given{image-rendering:pixelated;width:224px;border:1px solid var(--line);display:block}
.controls{position:sticky;top:0;background:var(--paper);padding:.6em 0;border-bottom:1px solid var(--line);z-index:1}.controls label{margin-right:1.6em}
.bar{display:grid;grid-template-columns:minmax(6em,14em) 16em 6em;gap:.6em;align-items:center;font-size:.85em}
.bar span.t{height:.85em;display:block;position:relative;background:linear-gradient(90deg,transparent 49.7%,var(--line) 49.7%,var(--line) 50.3%,transparent 50.3%)}
.bar i{position:absolute;top:0;bottom:0;display:block}
.token{padding:.1em .15em;border-radius:.2em;color:#111}details{margin:.4em 0}.lost{display:inline-block;height:.7em;background:#b2182b;vertical-align:middle}
.kept{display:inline-block;height:.7em;background:#2166ac;vertical-align:middle}
"""

SCRIPT = """
const table=RULEGRAD_COLORS,maps=RULEGRAD_MAPS;
function floats(text){const raw=atob(text),bytes=new Uint8Array(raw.length);for(let i=0;i<raw.length;i++)bytes[i]=raw.charCodeAt(i);return new Float32Array(bytes.buffer)}
function limitOf(sorted,p){const at=(sorted.length-1)*p/100,low=Math.floor(at),high=Math.min(low+1,sorted.length-1);
  const v=sorted[low]+(sorted[high]-sorted[low])*(at-low);return v>0?v:(sorted[sorted.length-1]||1)}
const drawn=maps.map(m=>{const values=floats(m.values),sorted=Float32Array.from(values,Math.abs).sort();return{...m,values,sorted,canvas:document.getElementById(m.id),image:m.picture?document.getElementById(m.picture):null}});
function draw(){const p=+document.getElementById('percentile').value,o=+document.getElementById('overlay').value;
  document.getElementById('percentile-shown').textContent=p;document.getElementById('overlay-shown').textContent=Math.round(o*100)+' %';
  for(const m of drawn){const c=m.canvas.getContext('2d'),limit=limitOf(m.sorted,p),pixels=c.createImageData(m.width,m.height);let under=null;
    if(m.image&&o>0){const s=document.createElement('canvas');s.width=m.width;s.height=m.height;const sc=s.getContext('2d');sc.drawImage(m.image,0,0,m.width,m.height);under=sc.getImageData(0,0,m.width,m.height).data}
    for(let i=0;i<m.values.length;i++){const t=Math.max(-1,Math.min(1,m.values[i]/limit)),k=Math.round((t+1)*127.5)*3;
      for(let j=0;j<3;j++){let v=table[k+j];if(under){const gray=.299*under[4*i]+.587*under[4*i+1]+.114*under[4*i+2];v=v*(1-o)+(64+gray/2)*o}pixels.data[4*i+j]=v}
      pixels.data[4*i+3]=255}
    c.putImageData(pixels,0,0)}}
if(drawn.length){for(const id of['percentile','overlay'])document.getElementById(id).addEventListener('input',draw);
  draw();Promise.all([...document.images].map(i=>i.decode().catch(()=>0))).then(()=>{draw();document.documentElement.dataset.ready='1'})}
"""


def _png_uri(pixels: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(_pictures.png(pixels)).decode()


def _color(value: float, table: np.ndarray) -> str:
    red, green, blue = table[int(round((max(-1.0, min(1.0, value)) + 1) * 127.5))]
    return f"rgb({red},{green},{blue})"


def bars(values: np.ndarray, names: Sequence[str], table: np.ndarray) -> str:
    """Signed bars from the middle, a row a feature; the 40 largest, in their own order."""
    values = values.astype(np.float64).reshape(-1)
    limit = float(np.abs(values).max(initial=0.0)) or 1.0
    shown = np.sort(np.argsort(-np.abs(values), kind="stable")[:40])
    rows = []
    for k in shown:
        share = values[k] / limit
        left, width = (50, 50 * share) if share >= 0 else (50 + 50 * share, -50 * share)
        rows.append(f'<div class="bar"><span>{html.escape(str(names[k]))}</span><span class="t"><i style="left:{left:.2f}%;width:{width:.2f}%;background:{_color(share, table)}"></i></span>'
                    f"<span>{values[k]:.4g}</span></div>")
    rest = f'<p class="quiet">the {len(shown)} largest of {len(values)}</p>' if len(shown) < len(values) else ""
    return "".join(rows) + rest


def token_line(values: np.ndarray, tokens: Sequence[str], table: np.ndarray) -> str:
    """Tokens on the colour of their relevance."""
    limit = float(np.abs(values).max(initial=0.0)) or 1.0
    return '<p class="tokens">' + " ".join(f'<span class="token" style="background:{_color(v / limit, table)}" title="{v:.4g}">{html.escape(str(t))}</span>' for v, t in zip(values, tokens)) + "</p>"


def bars_html(explanation: "Explanation", samples: Sequence[int]) -> str:
    """What Jupyter shows of features."""
    table = np.asarray(_core.color_table("rulegrad"))
    parts = ["<style>.bar{display:grid;grid-template-columns:minmax(6em,14em) 16em 6em;gap:.6em}.bar span.t{position:relative}"
             ".bar i{position:absolute;top:.2em;bottom:.2em}</style>"]
    node = explanation.nodes[0]
    for sample in samples:
        for method in explanation.methods:
            values = _per_feature(explanation[method, node][sample])
            parts.append(f"<div><b>{html.escape(explanation.labels[sample])}</b> {_pictures.score_text(explanation, sample)}, {html.escape(method)}"
                         + bars(values, [f"f{k}" for k in range(len(values))], table) + "</div>")
    return "".join(parts)


def _per_feature(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return values.reshape(values.shape[0], -1).sum(axis=1) if values.ndim > 1 else values.reshape(-1)


def _layers(explanation: "Explanation", method: Any, sample: int) -> str:
    """Relevance layer by layer: what reached each node, what it sent on and what was lost."""
    explainer = explanation.explainer
    if explainer is None:
        return ""
    options = explainer._options
    x = {name: array[sample:sample + 1] for name, array in explanation.inputs.items()}
    target = explanation.targets[sample]
    target = int(target) if np.ndim(target) == 0 else tuple(int(k) for k in target)
    try:
        if callable(options["output"]):
            raise ValueError("a function of the outputs")
        table = explanation.model.explain_rules(method, x, target, rules=explainer._rules, output=options["output"], head=options["head"], at=options["at"], aux=options["aux"])
    except (ValueError, KeyError, NotImplementedError, ArithmeticError) as problem:
        return f'<p class="quiet">the relevance of layers could not be followed: {html.escape(str(problem))}</p>'
    scale = max([abs(row.get("in", 0.0)) for row in table] + [1e-30])
    rows = []
    for row in table:
        place = html.escape(row["place"] or "default")
        lost = row.get("in", 0.0) - row.get("out", 0.0)
        rows.append(f"<tr><td>{html.escape(row['node'])}</td><td>{html.escape(row['operator'])}</td><td>{html.escape(row['rule'])}</td><td>{place}</td><td>{html.escape(row['why'])}</td>"
                    f"<td>{row.get('in', 0.0):.4g}</td><td>{row.get('out', 0.0):.4g}</td><td>{row.get('bias', 0.0):.3g}</td><td>{row.get('stabiliser', 0.0):.3g}</td><td>{row.get('rest', 0.0):.3g}</td>"
                    f'<td><span class="kept" style="width:{60 * min(abs(row.get("out", 0.0)) / scale, 1):.1f}px"></span><span class="lost" style="width:{60 * min(abs(lost) / scale, 1):.1f}px"></span></td></tr>')
    rewrites = "".join(f"<li>{html.escape(r['before'])} with {html.escape(r['folded'] or 'nothing')} became {html.escape(r['after'])} by {html.escape(r['rule'])} ({html.escape(r['place'])})</li>" for r in table.about["rewrites"])
    return ("<table><thead><tr><th>node</th><th>operator</th><th>rule</th><th>place</th><th>why</th><th>in</th><th>out</th><th>bias</th><th>stabiliser</th><th>rest</th><th>kept, lost</th></tr></thead><tbody>"
            + "".join(rows) + "</tbody></table>" + (f"<p>before that</p><ul>{rewrites}</ul>" if rewrites else ""))


def page(explanation: "Explanation", *, title: str | None = None, samples: Sequence[int] | None = None, tokens: Sequence[Sequence[str]] | None = None,
         features: Sequence[str] | None = None, top: int = 5, percentile: float = 99.0, overlay: float = 0.0, layers: bool = True) -> str:
    """The page as text.

    samples     which (the first 16)
    tokens      for each sample the words of its positions; attributions [N, T, D] are summed over D
    features    names of the columns of a table
    top         how many of the largest scores are listed
    percentile  what gets the full colour at first; overlay: how much of the picture shows at first, 0 to 1
    layers      for the first sample: the rules that ran, and where relevance was lost
    """
    model = explanation.model
    chosen = _pictures.sample_list(explanation, samples)
    table = np.asarray(_core.color_table("rulegrad"))
    heading = title or f"{model.name}: what counted"
    maps: list[dict] = []
    body = []
    scores = explanation.scores.reshape(len(explanation), -1)
    rest = explanation.scores.shape[1:]
    for sample in chosen:
        order = np.argsort(-scores[sample], kind="stable")[:top]
        names = [model.label(int(k) if len(rest) <= 1 else np.unravel_index(int(k), rest)) for k in order]
        rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{scores[sample][k]:.5g}</td></tr>" for name, k in zip(names, order))
        parts = [f'<section class="sample"><h2>sample {sample}: {html.escape(explanation.labels[sample])}, {_pictures.score_text(explanation, sample)}</h2><div class="row">']
        for node in explanation.nodes:
            layout = _pictures.layout_of(explanation, {})
            image = _pictures.is_image(explanation, node)
            picture = _pictures.input_picture(explanation, node, sample, layout) if image else None
            picture_id = f"p{sample}-{explanation.nodes.index(node)}"
            if picture is not None:
                parts.append(f'<figure><img class="given" id="{picture_id}" src="{_png_uri(picture)}" alt="the input"><figcaption>{html.escape(node)}</figcaption></figure>')
            for method in explanation.methods:
                values = explanation[method, node][sample]
                caption = html.escape(method if len(explanation.nodes) == 1 else f"{method} at {node}")
                if image:
                    flat = _pictures.reduced(values, layout)
                    identity = f"m{len(maps)}"
                    maps.append({"id": identity, "width": int(flat.shape[1]), "height": int(flat.shape[0]), "picture": picture_id if picture is not None else None,
                                 "values": base64.b64encode(np.ascontiguousarray(flat, "<f4").tobytes()).decode()})
                    parts.append(f'<figure><canvas id="{identity}" width="{flat.shape[1]}" height="{flat.shape[0]}"></canvas><figcaption>{caption}</figcaption></figure>')
                else:
                    line = _per_feature(values)
                    if tokens is not None and len(tokens[sample]) == len(line):
                        shown = token_line(line, tokens[sample], table)
                    else:
                        shown = bars(line, features if features is not None and len(features) == len(line) else [f"f{k}" for k in range(len(line))], table)
                    parts.append(f"<figure>{shown}<figcaption>{caption}</figcaption></figure>")
        parts.append(f"<table><thead><tr><th>largest scores</th><th></th></tr></thead><tbody>{rows}</tbody></table></div></section>")
        body.append("".join(parts))
    rules = ""
    if layers and explanation.explainer is not None and chosen:
        for position, (method, label) in enumerate(zip(_asked(explanation.explainer), explanation.methods)):
            rules += f"<details{' open' if position == 0 else ''}><summary>{html.escape(label)}, sample {chosen[0]}</summary>{_layers(explanation, method, chosen[0])}</details>"
        rules = f"<h2>The rules that ran, and where relevance went</h2>{rules}"
    controls = ""
    if maps:
        controls = (f'<div class="controls"><label>overlay <input id="overlay" type="range" min="0" max="1" step="0.01" value="{overlay}"> <span id="overlay-shown"></span></label>'
                    f'<label>full colour at the percentile <input id="percentile" type="range" min="50" max="100" step="0.1" value="{percentile}"> <span id="percentile-shown"></span></label></div>')
    facts = {"rulegrad": _core.version(), "Python": sys.version.split()[0], "NumPy": np.__version__, "model": model.name, "digest of the model": _digest(model),
             "digest of the rules": rules_digest(explanation), "methods": ", ".join(explanation.methods), "explained": ", ".join(explanation.nodes), "samples": f"{len(chosen)} of {len(explanation)}"}
    ending = "".join(f"<tr><td>{html.escape(key)}</td><td>{html.escape(str(value))}</td></tr>" for key, value in facts.items())
    script = SCRIPT.replace("RULEGRAD_COLORS", json.dumps(table.reshape(-1).tolist())).replace("RULEGRAD_MAPS", json.dumps(maps)) if maps else ""
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(heading)}</title><style>{STYLE}</style></head><body>'
            f"<h1>{html.escape(heading)}</h1><p class=\"quiet\">Red counted for the score, blue against it.</p>{controls}{''.join(body)}{rules}"
            f"<h2>What made this page</h2><table><tbody>{ending}</tbody></table><script>{script}</script></body></html>")


def _asked(explainer: Any) -> list:
    asked = explainer._asked
    return [asked] if isinstance(asked, str) or not isinstance(asked, (list, tuple)) else list(asked)


def _digest(model: Any) -> str:
    try:
        return model.digest()
    except OSError:
        return "the file is gone"


def rules_digest(explanation: "Explanation") -> str:
    """SHA-256 of the rules of the methods, the first 16 digits."""
    import hashlib

    found = hashlib.sha256()
    rules = explanation.explainer._rules if explanation.explainer is not None else explanation.model.rules
    for method in explanation.methods:
        found.update(rules.show(method.partition(":")[0].partition("#")[0]).encode())
    return found.hexdigest()[:16]
