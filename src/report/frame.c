/* What every page has: its style, its head and its foot; and the style of a chart in a file of its own. */
#include "base/build.h"
#include "base/file.h"
#include "report/page.h"

#include <stdlib.h>
#include <string.h>

/* Print is always light; screens that prefer dark get dark. */
static const char style[] =
    ":root{--paper:#fff;--ink:#1d2733;--soft:#5f6c7a;--line:#e3e8ee;--base:#9aa6b2;--wash:#f6f8fa;--tick:#4a5765;"
    "--whisker:#3b4754;--bad:#c0392b;--best:#eef5fb;--note:#8a4b1f;--notewash:#fdf4ec}"
    "@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--paper:#12171d;--ink:#e3e9ef;"
    "--soft:#9caab8;--line:#2a333d;--base:#66727f;--wash:#1a2129;--tick:#b6c1cc;--whisker:#c3ced9;--bad:#ff8a7a;"
    "--best:#1b2b3a;--note:#f0bd92;--notewash:#33261b}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}"
    "main{max-width:1060px;margin:0 auto;padding:32px 28px 60px}"
    "h1{font-size:26px;margin:0 0 2px;overflow-wrap:anywhere}h2{font-size:19px;margin:38px 0 4px;padding-bottom:5px;"
    "border-bottom:1px solid var(--line)}.lead,.sub{color:var(--soft);margin:4px 0 14px;max-width:75ch;"
    "overflow-wrap:anywhere}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:12px;margin:20px 0}"
    ".tile{background:var(--wash);border:1px solid var(--line);border-radius:8px;padding:10px 14px;"
    "overflow-wrap:anywhere}.tile span,.tile small{display:block;color:var(--soft);font-size:12.5px}"
    ".tile b{font-size:18px;line-height:1.35}"
    "figure{margin:14px 0}.three{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));"
    "gap:0 20px}figcaption{font-size:13.5px;margin-bottom:2px}.key{margin-left:14px;color:var(--soft);"
    "white-space:nowrap}.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}"
    ".scroll{overflow-x:auto}.scroll svg{min-width:680px}figcaption small{margin-left:14px}"
    "svg .tip{fill:none;pointer-events:all}svg .tip:hover{fill:var(--tick);fill-opacity:.08}"
    "svg{display:block;width:100%;height:auto;max-width:780px}svg text{font-size:12px;fill:var(--tick)}"
    "svg text.axis{fill:var(--soft)}svg text.value{font-size:11px}svg .grid{stroke:var(--line)}"
    "svg .base{stroke:var(--base)}svg line.guide{stroke:var(--bad);stroke-dasharray:5 4}svg text.guide{fill:var(--bad)}"
    "svg .box{fill:var(--best);stroke:var(--base)}"
    "svg .whisker{stroke:var(--whisker);stroke-opacity:.55;fill:none}"
    ".wide{overflow-x:auto}.wide td{white-space:nowrap}table{border-collapse:collapse;font-size:13.5px;margin:12px "
    "0;width:100%}"
    "th{text-align:right;color:var(--soft);font-weight:600;font-size:12.5px}"
    "th,td{padding:4px 8px;border-bottom:1px solid var(--line);text-align:right;"
    "font-variant-numeric:tabular-nums}th:first-child,td:first-child{text-align:left}"
    "tr.best td{background:var(--best);font-weight:600}td.bad{color:var(--bad)}"
    "table.keys th{text-align:left}.texts td+td{white-space:normal;min-width:70px}"
    "table.keys td{text-align:left;font:12.5px/1.5 ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere;"
    "padding:2px 8px;color:var(--soft);vertical-align:top}table.keys td:first-child{white-space:nowrap;width:1%}"
    "table.keys tr.changed td{color:var(--ink);font-weight:600}"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr));gap:16px}"
    ".row{display:flex;flex-wrap:wrap;gap:6px;margin:0}.row>div{flex:1 1 0;min-width:0}.row figcaption{width:100%;"
    "color:var(--soft);font-size:12px;overflow-wrap:anywhere}img{display:block;max-width:100%;height:auto;"
    "border-radius:4px;background:var(--wash)}.row img{width:100%}small{color:var(--soft);font-size:11.5px}"
    ".near{display:flex;gap:22px;align-items:center;border-bottom:1px solid var(--line);padding-bottom:10px}"
    ".near img{width:84px}.strip{display:flex;gap:8px;align-items:center;margin:3px 0}.strip>small{width:44px}"
    ".strip div{border:2px solid transparent;border-radius:6px;padding:1px;text-align:center}"
    ".strip .fresh{border-color:#d1602b}.missing{color:var(--note);background:var(--notewash);padding:8px 12px;"
    "border-radius:6px}footer{margin-top:40px;color:var(--soft);font-size:12px}.phone{display:none}"
    "@media screen and (max-width:600px){main{padding:20px 14px 40px}h1{font-size:21px}.desk{display:none}"
    "svg.phone{display:block}.key.phone{display:inline}.near{flex-wrap:wrap;gap:8px}"
    ".near img{width:min(58px,14vw)}.strip{gap:4px}.strip>small{width:40px}.tiles{grid-template-columns:1fr 1fr}"
    ".tile b{font-size:15px}table.keys td:first-child{white-space:normal;width:45%}}"
    "@media print{body{font-size:10.5pt}main{max-width:none;padding:0}h2,.lead{break-after:avoid}"
    "figure,.tile,tr,.lead,.near,.row{break-inside:avoid}h2{margin-top:26px}.tiles{grid-template-columns:1fr 1fr 1fr}"
    ".three,.grid{grid-template-columns:1fr 1fr}.near img{width:64px}table.keys td{font-size:8pt;padding:0 6px}"
    "footer{margin-top:12px;break-before:avoid}.wide{overflow:visible}"
    "*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}@page{margin:14mm}";

/* Of a chart outside its page: the light colours, fixed. */
static const char svg_style[] =
    "<style>text{font:12px system-ui,Arial,sans-serif;fill:#4a5765}text.axis{fill:#5f6c7a}text.value{font-size:11px}"
    ".grid{stroke:#e3e8ee}.base{stroke:#9aa6b2}line.guide{stroke:#c0392b;stroke-dasharray:5 4}"
    ".box{fill:#eef5fb;stroke:#9aa6b2}.tip{fill:none;pointer-events:all}</style>";

void gh_page_open(gh_page *p, const char *title) {
  gh_page_add(p, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>");
  gh_page_text(p, title);
  gh_page_add(p, " - genhance</title><style>%s</style></head>\n<body><main>\n<h1>", style);
  gh_page_text(p, title);
  gh_page_add(p, "</h1>\n");
}

void gh_page_close(gh_page *p) {
  gh_page_add(p, "<footer>genhance %s, commit ", GH_VERSION);
  gh_page_text(p, gh_build_commit);
  gh_page_add(p, "</footer>\n</main></body></html>\n");
}

gh_status gh_page_write_chart(gh_error *err, const gh_page *p, size_t from, const char *path) {
  static const char begin[] = "<svg ", end[] = "</svg>";
  gh_page file = {0};
  if (p->err.status) return GH_OK; /* gh_page_write reports it */
  const char *svg = strstr(p->text + from, begin), *body = svg ? strchr(svg, '>') : NULL,
             *last = body ? strstr(body, end) : NULL;
  if (!last) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: there is no chart to write", path);
  gh_page_add(&file, "<svg xmlns=\"http://www.w3.org/2000/svg\" %.*s", (int)(body + 1 - svg) - (int)strlen(begin),
              svg + strlen(begin));
  gh_page_add(&file, "%s%.*s%s\n", svg_style, (int)(last - body - 1), body + 1, end);
  gh_status status = gh_page_write(err, &file, path);
  gh_page_free(&file);
  return status;
}
