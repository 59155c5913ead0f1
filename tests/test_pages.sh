#!/usr/bin/env bash
# Every page that the program writes, in headless Chromium as wide as a phone and as a desktop: no message on its console,
# nothing fetched, every chart drawn with legible letters inside its frame, nothing wider than the screen. A page with all
# these faults shows that each is noticed.
# usage: test_pages.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
chromium=$(command -v chromium || command -v chromium-browser) || { echo "skipped: chromium is not installed"; exit 77; }

# ---- the pages ----

cp -r "$fixtures/text/clip" words
chmod -R u+w words
mkdir -p scenes/a scenes/b
cp images/reduce.png scenes/a
cp images/half-chroma.jpg scenes/b
train --set clip=words --set stage2.checkpoint_every=1 --set evaluate='[{"kind":"zeroshot","data":"scenes"}]' \
  --set 'stage2.guard={"points":1}'
cp -r run other
# As many updates as a chart has points, and patterns of MMVP.
awk 'BEGIN { for (s = 1; s <= 2; s++) for (u = 1; u <= 500; u++)
  printf "{\"stage\":%d,\"update\":%d,\"loss\":%.6f,\"grad_norm\":%.4f,\"lr\":%g,\"samples\":4,\"ms\":500,\"images_per_second\":8,\"resident_bytes\":3e9,\"joules\":20,\"time\":1.7e9}\n",
  s, u, 0.4 + 2 / u + 0.05 * sin(u * u), 1 + 0.3 * cos(u * u), 1e-4 }' >other/metrics.jsonl
cat >other/evaluations.jsonl <<'END'
{"stage":2,"update":0,"scores":{"mmvp":20,"zeroshot.top1":75.5,"zeroshot.top5":90},"intervals":{"mmvp":{"percent":20,"low":14.1,"high":27.5}},"patterns":{"Orientation and Direction":{"percent":20,"low":7,"high":45},"Positional and Relational Context":{"percent":6.7,"low":1,"high":30}},"guard":{"watch":"zeroshot.top1","change":0,"within":true},"time":1.7e9}
{"stage":2,"update":250,"scores":{"mmvp":31.9,"zeroshot.top1":75.1,"zeroshot.top5":91},"intervals":{"mmvp":{"percent":31.9,"low":24.6,"high":40.1}},"patterns":{"Orientation and Direction":{"percent":40,"low":20,"high":64},"Positional and Relational Context":{"percent":13.3,"low":4,"high":38}},"guard":{"watch":"zeroshot.top1","change":-0.4,"within":true},"time":1.7e9}
END
echo '{"snapshot":"stage2-00000250","update":250,"score":"mmvp","value":31.9,"start":20}' >other/best.json
write() { "$genhance" "$@" >out 2>err || fail "$*: $(cat err)"; }
write report --run run --out trained.html --pictures 3 --pool 6
write report --run other --out long.html --pictures 0
write report --run run --run other --out several.html
write bench ops --op rmsnorm --batch 1 --repeats 2 --out results
write bench portability results --out study.html
# An experiment of two runs; half of the pictures have one label.
find images -maxdepth 1 -type f -printf '%f\n' | LC_ALL=C sort |
  awk 'BEGIN { print "image\thalf" } { print $0 "\t" NR % 2 }' >attributes.tsv
mv attributes.tsv images/
cat >table.json <<'END'
{"title": "Two runs", "output": "table", "config": "run.json", "seeds": [0], "baseline": "lora",
 "runs": [{"name": "lora"}, {"name": "direct", "set": ["stage2.lora=null"]}],
 "evaluate": [{"kind": "attributes", "data": "images"}]}
END
write experiment table.json
cp table/table.html experiment.html
cat >broken.html <<'END'
<!DOCTYPE html><title>broken</title><body><img src="http://genhance.invalid/x.png" alt=""><div style="width:2000px">wide</div>
<svg viewBox="0 0 2000 100" style="width:100%"><text x="10" y="50" style="font-size:12px">small</text></svg>
<svg viewBox="0 0 300 100" style="width:300px"><path d="M10 10LNaN 5L20 20"/><text x="290" y="50">outside</text></svg>
<svg viewBox="0 0 300 100" style="width:300px"></svg><script>console.error("a message")</script>
END
pages="trained.html long.html several.html study.html experiment.html broken.html"

# ---- what the browser says of them ----

cat >check.html <<'END'
<!DOCTYPE html><body><pre id="found"></pre><script>
const found = []
function scrolls(e) { // inside a box with a scroll bar of its own
  for (e = e.parentElement; e; e = e.parentElement) if (getComputedStyle(e).overflowX === 'auto') return true
  return false
}
function checkChart(svg, say) {
  const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal
  if (!box.width) return false
  const marks = svg.querySelectorAll('path, circle, rect:not(.tip)')
  if (!marks.length) say('an empty chart')
  for (const path of svg.querySelectorAll('path'))
    if (!path.getTotalLength() && path.getAttribute('d').length > 12) say('a path that is not drawn')
  const texts = [...svg.querySelectorAll('text')]
  for (const t of texts) {
    const size = parseFloat(getComputedStyle(t).fontSize) * box.width / view.width, r = t.getBoundingClientRect()
    if (size < 9) say('letters of ' + size.toFixed(1) + ' px: ' + t.textContent)
    if (r.left < box.left - 2 || r.right > box.right + 2 || r.top < box.top - 2 || r.bottom > box.bottom + 2)
      say('outside its chart: ' + t.textContent)
  }
  return true
}
function check(frame) {
  const d = frame.contentDocument, width = frame.clientWidth, say = text => found.push(frame.name + ': ' + text)
  let charts = 0
  for (const svg of d.querySelectorAll('svg')) charts += checkChart(svg, say)
  if (!charts) say('no charts')
  if (d.documentElement.scrollWidth > width) say('wider than the screen')
  for (const e of d.body.querySelectorAll('*'))
    if (!e.closest('svg') && e.getBoundingClientRect().right > width + 1 && !scrolls(e)) say('too wide: ' + e.tagName)
  for (const image of d.images) if (!image.complete || !image.naturalWidth) say('a picture that is not shown')
  for (const e of d.querySelectorAll('[src], link, script, iframe, object, use'))
    if (!(e.getAttribute('src') || '').startsWith('data:')) say('something to fetch: ' + e.tagName)
  for (const r of frame.contentWindow.performance.getEntriesByType('resource'))
    if (!r.name.startsWith('data:')) say('fetched: ' + r.name)
  if (!d.querySelector('svg title') && !d.querySelector('svg[aria-label]')) say('no tooltip')
  found.push(frame.name + ': checked, ' + charts + ' charts')
}
addEventListener('load', () => {
  for (const frame of document.querySelectorAll('iframe')) check(frame)
  document.getElementById('found').textContent = found.join('\n')
})
</script>
END
for page in $pages; do
  for width in 390 1280; do
    echo "<iframe name=\"$page at $width\" src=\"$page\" style=\"width:${width}px;height:3000px;border:0\"></iframe>"
  done
done >>check.html
HOME=$work timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --allow-file-access-from-files \
  --no-first-run --disable-background-networking --disable-component-update --disable-sync --disable-extensions \
  --host-resolver-rules='MAP * ~NOTFOUND' --user-data-dir="$work/profile" --enable-logging=stderr --virtual-time-budget=20000 \
  --dump-dom "file://$work/check.html" >dom 2>console || fail "chromium: $(tail -n 5 console)"
sed -n '/<pre id="found">/,/<\/pre>/p' dom | sed 's/.*<pre id="found">//; s/<\/pre>.*//' >found
for page in $pages; do
  [ "$(grep -c "^$page at [0-9]*: checked, [1-9]" found)" = 2 ] || fail "$page was not checked: $(cat found)"
done
grep -v '^broken.html\|: checked,' found >faults && fail "$(cat faults)"
grep 'CONSOLE' console | grep -v 'broken.html\|genhance.invalid' >faults && fail "console: $(cat faults)"

# ---- each fault of the broken page is noticed ----

for fault in 'an empty chart' 'a path that is not drawn' 'letters of 2' 'outside its chart: outside' 'wider than the screen' \
  'too wide: DIV' 'a picture that is not shown' 'something to fetch: IMG' 'something to fetch: SCRIPT'; do
  grep -q "^broken.html at 390: $fault" found || fail "not noticed: $fault: $(grep broken found)"
done
grep -q 'CONSOLE.*a message' console || fail "the console's messages are not noticed: $(tail -n 5 console)"
finish
