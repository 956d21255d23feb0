#pragma once

#include <string_view>

/// What all pages share: how they look, and the script that draws their maps.
namespace rulegrad::io::page_template {

inline constexpr std::string_view legend = "Red counted for the score, blue against it.";

inline constexpr std::string_view style = R"(
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#d5dae0;--quiet:#667}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--paper:#15181c;--line:#3a4048;--quiet:#9aa3ad}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2em auto;max-width:76em;padding:0 1em}
h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.15em;margin:1.6em 0 .4em}.quiet{color:var(--quiet)}
table{border-collapse:collapse;font-size:.88em}td,th{border-bottom:1px solid var(--line);padding:.2em .7em .2em 0;text-align:left;vertical-align:top}
.sample{border-top:1px solid var(--line);padding:1em 0}.row{display:flex;flex-wrap:wrap;gap:1.2em;align-items:flex-start}
figure{margin:0}figcaption{font-size:.85em;margin-top:.2em}canvas,img.given{image-rendering:pixelated;width:224px;border:1px solid var(--line);display:block}
.controls{position:sticky;top:0;background:var(--paper);padding:.6em 0;border-bottom:1px solid var(--line);z-index:1}.controls label{margin-right:1.6em}
details{margin:.4em 0}.lost{display:inline-block;height:.7em;background:#b2182b;vertical-align:middle}
.kept{display:inline-block;height:.7em;background:#2166ac;vertical-align:middle}
)";

inline constexpr std::string_view bars = R"(
.bar{display:grid;grid-template-columns:minmax(6em,14em) 16em 6em;gap:.6em;align-items:center;font-size:.85em}
.bar span.t{height:.85em;display:block;position:relative;background:linear-gradient(90deg,transparent 49.7%,#9aa3ad 49.7%,#9aa3ad 50.3%,transparent 50.3%)}
.token{padding:.1em .15em;border-radius:.2em;color:#111}
.bar i{position:absolute;top:0;bottom:0;display:block}
)";

/// `table` are 255 colours, `maps` the maps with their values as base64 of little-endian float32.
inline constexpr std::string_view script = R"(
function floats(text){const raw=atob(text),bytes=new Uint8Array(raw.length);for(let i=0;i<raw.length;i++)bytes[i]=raw.charCodeAt(i);return new Float32Array(bytes.buffer)}
function limitOf(sorted,p){const at=(sorted.length-1)*p/100,low=Math.floor(at),high=Math.min(low+1,sorted.length-1);
  const v=sorted[low]+(sorted[high]-sorted[low])*(at-low);return v>0?v:(sorted[sorted.length-1]||1)}
const drawn=maps.map(m=>{const values=floats(m.values),sorted=Float32Array.from(values,Math.abs).sort();return{...m,values,sorted,canvas:document.getElementById(m.id),image:m.picture?document.getElementById(m.picture):null}});
function draw(){const p=+document.getElementById('percentile').value,o=+document.getElementById('overlay').value;
  document.getElementById('percentile-shown').textContent=p;document.getElementById('overlay-shown').textContent=Math.round(o*100)+' %';
  for(const m of drawn){const c=m.canvas.getContext('2d'),limit=limitOf(m.sorted,p),pixels=c.createImageData(m.width,m.height);let under=null;
    if(m.image&&o>0){const s=document.createElement('canvas');s.width=m.width;s.height=m.height;const sc=s.getContext('2d');sc.drawImage(m.image,0,0,m.width,m.height);under=sc.getImageData(0,0,m.width,m.height).data}
    for(let i=0;i<m.values.length;i++){const t=Math.max(-1,Math.min(1,m.values[i]/limit)),k=Math.round((t+1)*127)*3;
      for(let j=0;j<3;j++){let v=table[k+j];if(under){const gray=.299*under[4*i]+.587*under[4*i+1]+.114*under[4*i+2];v=v*(1-o)+(64+gray/2)*o}pixels.data[4*i+j]=v}
      pixels.data[4*i+3]=255}
    c.putImageData(pixels,0,0)}}
for(const id of['percentile','overlay'])document.getElementById(id).addEventListener('input',draw);
draw();Promise.all([...document.images].map(i=>i.decode().catch(()=>0))).then(()=>{draw();document.documentElement.dataset.ready='1'});
)";

}  // namespace rulegrad::io::page_template
