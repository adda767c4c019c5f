"""The style sheet of the verdict's page: system fonts, dark and light by the reader's setting, and paper."""

LIGHT = """--paper:#fff;--card:#f7f8fa;--ink:#1a1f26;--soft:#5d6773;--line:#d9dee5;--snn:#0b62d6;--cnn:#b8560b;
--good:#18794e;--bad:#c42b34;--clipping:#c42b34;--early:#d98b06;--late:#8a4bd0;--rounding:#3b82c4;--arrived:#9aa4b0"""
DARK = """--paper:#101419;--card:#171c23;--ink:#e7eaef;--soft:#9ca7b4;--line:#2d3641;--snn:#62a6ff;--cnn:#ff9f50;
--good:#4cc38a;--bad:#ff7a80;--clipping:#ff7a80;--early:#f0b429;--late:#b794f6;--rounding:#6cb2f0;--arrived:#6b7684"""

STYLE = f"""
:root{{color-scheme:light dark;{LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}}
main{{max-width:1120px;margin:0 auto;padding:36px 28px 60px}}
h1{{font-size:15px;font-weight:600;color:var(--soft);margin:0 0 14px;overflow-wrap:anywhere}}
h2{{font-size:20px;margin:46px 0 4px;letter-spacing:-.01em}}
h3{{font-size:14px;margin:0 0 6px;overflow-wrap:anywhere}}
p{{margin:6px 0;max-width:90ch}} .soft{{color:var(--soft)}} .small{{font-size:13px}}
.sentence{{font-size:25px;line-height:1.32;font-weight:600;letter-spacing:-.015em;margin:0 0 12px;max-width:62ch}}
.chip{{display:inline-block;font-size:13px;font-weight:700;letter-spacing:.05em;padding:3px 10px;border-radius:99px;
color:#fff;background:var(--soft);vertical-align:4px;margin-right:10px}}
.chip.good{{background:#18794e}} .chip.bad{{background:#c42b34}}
.figures{{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:14px;margin:24px 0 0}}
.figures div{{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:13px 16px}}
.figures b{{display:block;font-size:25px;line-height:1.25;letter-spacing:-.02em;font-variant-numeric:tabular-nums}}
.figures span{{display:block;font-size:13px;color:var(--soft)}}
.advice{{border-left:4px solid var(--snn);background:var(--card);padding:10px 16px;margin:18px 0 0;
border-radius:0 8px 8px 0;overflow-wrap:anywhere}}
.advice.warn{{border-color:var(--early)}}
.wide{{overflow-x:auto;margin-top:12px}}
table{{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}}
th{{font-weight:600;color:var(--soft);font-size:12.5px;text-align:right;vertical-align:bottom;line-height:1.3}}
th,td{{padding:7px 9px;border-bottom:1px solid var(--line)}} td{{text-align:right;white-space:nowrap}}
th:first-child,td:first-child{{text-align:left;padding-left:0}} th.left{{text-align:left}}
td.name{{white-space:normal;overflow-wrap:anywhere;
min-width:92px;max-width:250px;font-weight:600}} td.bar{{width:204px}} td.bar svg{{display:block;width:190px}}
td.added svg{{display:block;width:150px}} td.text{{text-align:left;white-space:normal;overflow-wrap:anywhere}}
tr.worst td{{background:color-mix(in srgb,var(--early) 13%,transparent)}} tr.worst td:first-child{{padding-left:9px}}
.plots{{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:22px;margin-top:10px}}
.gallery{{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:20px;margin-top:14px}}
figure{{margin:0}} figure svg{{display:block;width:100%;height:auto}}
.gallery figure{{border:1px solid var(--line);border-radius:10px;padding:12px 12px 8px;break-inside:avoid}}
.legend{{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft);margin:6px 0 2px}}
.legend i{{display:inline-block;width:16px;height:9px;border-radius:2px;margin-right:6px;vertical-align:0}}
.legend i.round{{width:11px;height:11px;border-radius:50%;vertical-align:-1px}}
svg text{{font-size:11.5px;fill:var(--soft);font-variant-numeric:tabular-nums}} svg text.title{{fill:var(--ink)}}
.gallery svg text{{font-size:10px}}
.grid{{stroke:var(--line);stroke-width:1;fill:none}} .axis{{stroke:var(--soft);stroke-width:1;fill:none}}
.rail{{stroke:var(--line);stroke-width:2}} .line{{fill:none;stroke-width:2.2;stroke-linejoin:round}}
.snn.line{{stroke:var(--snn)}} .cnn.line{{stroke:var(--cnn)}} .cnn.dash{{stroke:var(--cnn);stroke-width:2;fill:none;
stroke-dasharray:6 4}} .snn.band{{fill:var(--snn);fill-opacity:.17}} .cnn.band{{fill:var(--cnn);fill-opacity:.13}}
.cnn.dot{{fill:var(--cnn)}} .cnn.hollow{{fill:var(--paper);stroke:var(--cnn);stroke-width:2}}
.snn.mark{{fill:var(--paper);stroke:var(--snn);stroke-width:2.2}}
.snn.fill{{fill:var(--snn);fill-opacity:.32}} .cnn.fill{{fill:var(--cnn);fill-opacity:.32}}
.whisker{{fill:none;stroke-width:2}} .snn.whisker{{stroke:var(--snn)}} .cnn.whisker{{stroke:var(--cnn)}}
.cell,.bars{{fill:var(--snn)}} .ideal{{stroke:var(--cnn);stroke-width:1.4;stroke-dasharray:4 3;fill:none}}
.limit{{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3;fill:none}}
.clipping{{fill:var(--clipping);background:var(--clipping)}} .early{{fill:var(--early);background:var(--early)}}
.late{{fill:var(--late);background:var(--late)}} .rounding{{fill:var(--rounding);background:var(--rounding)}}
.arrived{{fill:var(--arrived);background:var(--arrived)}} i.snn{{background:var(--snn)}} i.cnn{{background:var(--cnn)}}
i.open{{background:none!important;border:2px solid var(--cnn)}} i.open.snn{{border-color:var(--snn)}}
.plots .legend{{min-height:46px;align-content:flex-end}} td.stage{{min-width:172px}}
@media (max-width:620px){{main{{padding:22px 16px}} .sentence{{font-size:20px}} .plots{{grid-template-columns:1fr}}}}
@media print{{:root{{color-scheme:light;{LIGHT}}} body{{font-size:11pt}} main{{max-width:none;padding:0}}
*{{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
h2{{break-after:avoid}}
tr,figure,.figures div{{break-inside:avoid}}
.wide{{overflow:visible}} .plots{{grid-template-columns:1fr 1fr}} .plots .legend{{min-height:66px}}
.figures{{grid-template-columns:repeat(4,1fr)}} .sentence{{font-size:16pt}} .figures b{{font-size:14pt}}
table{{font-size:7.6pt}} th{{font-size:7pt}} th,td{{padding:3px 3px}} td.stage{{min-width:104px}}
td.bar{{width:112px}} td.bar svg{{width:106px}} td.name{{min-width:60px}} td.added svg{{width:96px}}
.gallery{{grid-template-columns:repeat(3,1fr)}}}}
"""
