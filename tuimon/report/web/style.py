"""Colours and style sheets. The colours are those of the screens' palettes for people who see fewer hues.

Lines differ in more than their colour: in width, in dashes and in dots.
"""

from collections.abc import Mapping

LIGHT = {
    "paper": "#ffffff",
    "surface": "#f4f6f8",
    "text": "#25303a",
    "strong": "#0b1117",
    "dim": "#576572",
    "frame": "#c4ccd4",
    "training": "#0068a2",
    "batch": "#426f98",
    "validation": "#8f5600",
    "inference": "#3f4fd0",
    "statistic": "#007152",
    "band": "#3f776e",
    "command": "#a33e76",
    "good": "#005a45",
    "warning": "#4a3800",
    "error": "#b3002d",
    "gap": "#000000",
    "batch-norm": "#75602f",
    "stochastic": "#4d6475",
    "other": "#55636f",
}
DARK = {
    "paper": "#10151c",
    "surface": "#18202a",
    "text": "#c9d3dd",
    "strong": "#eef3f8",
    "dim": "#8a99a9",
    "frame": "#3a4857",
    "training": "#56b4e9",
    "batch": "#5584b0",
    "validation": "#f0a818",
    "inference": "#8094ff",
    "statistic": "#00b386",
    "band": "#338f79",
    "command": "#d98fb8",
    "good": "#7fe0c0",
    "warning": "#f0e442",
    "error": "#ff6a3d",
    "gap": "#ffffff",
    "batch-norm": "#c8ad74",
    "stochastic": "#9fb7c9",
    "other": "#8f9dab",
}
_LINES: dict[str, tuple[str, float, str]] = {
    "training": ("training", 2, ""),
    "validation": ("validation", 2, "7 3"),
    "batch": ("batch", 1, ""),
    "smoothed": ("inference", 1.5, ""),
    "gap": ("gap", 2.2, ""),
    "batch-norm": ("batch-norm", 1.8, "2 3"),
    "stochastic": ("stochastic", 1.8, "8 3"),
    "other": ("other", 1.5, "2 4"),
    "statistic": ("statistic", 2, ""),
    "curve": ("statistic", 1.6, ""),
    "command": ("command", 2, ""),
    "bad": ("error", 1.5, ""),
    "layer-0": ("training", 2, ""),
    "layer-1": ("validation", 2, "7 3"),
    "layer-2": ("statistic", 2, "2 3"),
    "layer-3": ("command", 2, "10 3 2 3"),
    "layer-4": ("dim", 2, "4 4"),
    "layer-5": ("inference", 2, "1 4"),
}
"""Colour, width and dashes of each kind of line."""
_AREAS = {"band": "band", "batch-norm": "batch-norm"}
_FONT = 'system-ui, "Segoe UI", "Helvetica Neue", Arial, "Liberation Sans", "DejaVu Sans", sans-serif'


def chart_rules(colors: Mapping[str, str]) -> str:
    """Return the rules of charts, with these colours, by name: colours themselves or variables.

    They are plain enough for programs that know little of CSS.
    """
    rules = [
        f".chart text{{font:12px {_FONT};fill:{colors['dim']}}}",
        f".grid{{stroke:{colors['frame']};stroke-width:1;stroke-opacity:.55}}",
        f".zero{{stroke:{colors['dim']};stroke-width:1;stroke-opacity:.8}}",
        f".axis{{stroke:{colors['dim']};stroke-width:1}}",
        f".undone{{fill:{colors['command']};fill-opacity:.13}}",
        f"line.mark{{stroke:{colors['command']};stroke-width:1;stroke-dasharray:3 3}}",
        f".chart text.mark{{fill:{colors['command']};font-weight:bold}}",
        ".line,.dots{fill:none;vector-effect:non-scaling-stroke;stroke-linejoin:round}",
        ".dots{stroke-width:5;stroke-linecap:round}",
        ".area{stroke:none;fill-opacity:.25}",
    ]
    for kind, (color, width, dashes) in _LINES.items():
        dash = f";stroke-dasharray:{dashes}" if dashes else ""
        rules.append(
            f".line.{kind}{{stroke:{colors[color]};stroke-width:{width}{dash}}}.dots.{kind}{{stroke:{colors[color]}}}"
        )
    rules += [f".area.{kind}{{fill:{colors[color]}}}" for kind, color in _AREAS.items()]
    rules.append(".line.batch{stroke-opacity:.45}")
    return "".join(rules)


def page_style() -> str:
    """Return the style sheet of the page."""
    variables = chart_rules({name: f"var(--{name})" for name in LIGHT})
    light, dark = ("".join(f"--{name}:{color};" for name, color in colors.items()) for colors in (LIGHT, DARK))
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        # On paper, always dark on light.
        f"@media print{{:root{{color-scheme:light;{light}}}}}"
        f"{_PAGE.replace('FONT', _FONT)}{variables}"
    ).replace("\n", "")


_PAGE = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--text);font:15px/1.5 FONT;overflow-wrap:anywhere}
main,header,footer{max-width:1240px;margin:0 auto;padding:0 20px}
header{padding-top:24px}
h1{font-size:26px;line-height:1.2;margin:0 0 8px;color:var(--strong)}
h2{font-size:19px;margin:36px 0 10px;padding-bottom:5px;border-bottom:1px solid var(--frame);color:var(--strong)}
h3{font-size:16px;margin:20px 0 8px;color:var(--strong)}
h4{font-size:15px;margin:0 0 4px;font-weight:normal}
p{margin:6px 0;max-width:90ch}
bdi,.lines{unicode-bidi:isolate}
.lines{white-space:pre-wrap}
nav{margin-top:12px}
nav a{margin-right:14px;white-space:nowrap}
a{color:var(--training)}
.facts{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0;padding:0;list-style:none}
.facts b{color:var(--strong)}
.quiet,.note,figcaption,dt,caption{color:var(--dim)}
.quiet,.note,dl,table{font-size:13.5px}
.verdict{font-size:17px;padding:12px 16px;margin:0 0 12px;max-width:none;background:var(--surface);
border-left:5px solid var(--good);border-radius:4px;color:var(--strong)}
.verdict.findings{border-color:var(--validation)}
.verdict.not-examined{border-color:var(--dim)}
.finding{background:var(--surface);border-left:5px solid var(--dim);border-radius:4px;padding:12px 16px;margin:10px 0}
.finding.warning{border-color:var(--validation)}
.finding.error{border-color:var(--error)}
.severity{font-weight:bold;color:var(--dim)}
.severity.warning{color:var(--warning)}
.severity.error,.error{color:var(--error)}
.good{color:var(--good)}
.sums{display:flex;flex-wrap:wrap;gap:10px 40px;align-items:flex-start}
table{border-collapse:collapse}
th,td{text-align:left;vertical-align:top;padding:4px 12px 4px 0}
thead th{color:var(--dim);font-weight:normal;border-bottom:1px solid var(--frame);vertical-align:bottom}
tbody tr+tr td{border-top:1px solid color-mix(in srgb,var(--frame) 45%,transparent)}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
span.number{color:var(--command);font-weight:bold}
time{white-space:nowrap}
.effect{color:var(--dim)}
.sum tr td{border:0}
.sum{min-width:min(100%,430px)}
.sum caption{text-align:left;padding-bottom:4px}
.sum th{font-weight:normal;padding:1px 16px 1px 0}
.sum td{padding:1px 12px 1px 0}
.sum .part{padding-left:14px}
.sum .strong,.sum .strong~td{font-weight:bold;color:var(--strong)}
.sum .training{color:var(--training)}
.sum .inference{color:var(--inference)}
.sum .validation{color:var(--validation)}
.scroll{overflow-x:auto}
.scroll th,.scroll td{padding-right:10px}
.scroll td{overflow-wrap:break-word;min-width:7em;max-width:34em}
.scroll td:last-child{min-width:15em}
.scroll td.number{min-width:0;max-width:none}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:3px 28px;margin:8px 0}
dl div{display:flex;gap:8px;justify-content:space-between;
border-bottom:1px dotted color-mix(in srgb,var(--frame) 60%,transparent)}
dt{flex:none;max-width:65%}
dd{margin:0;min-width:0;text-align:right;font-variant-numeric:tabular-nums}
details{margin:8px 0}
summary{cursor:pointer;color:var(--training)}
ul{margin:6px 0;padding-left:20px}
pre{margin:8px 0;padding:8px 12px;overflow-x:auto;background:var(--surface);border:1px solid var(--frame);
border-radius:4px;font-size:13px}
.charts+.charts{margin-top:26px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,500px),1fr));gap:26px 34px}
figure{margin:0;min-width:0;break-inside:avoid}
figure.small{margin:10px 0;max-width:620px}
.plot{padding:22px 12px 24px 52px}
figcaption strong{color:var(--strong)}
.chart{display:block;overflow:visible}
.legend{display:flex;flex-wrap:wrap;gap:0 16px;list-style:none;margin:4px 0 0;padding:0;font-size:13px}
.legend svg{vertical-align:-1px;margin-right:6px;overflow:visible}
.legend .value{color:var(--strong);font-variant-numeric:tabular-nums}
figure p{margin:2px 0 0}
footer{padding-top:24px;padding-bottom:32px}
@media (max-width:560px){main,header,footer{padding-left:14px;padding-right:14px}
body{font-size:14.5px}h1{font-size:22px}.plot{padding-left:46px}dl{grid-template-columns:1fr}
.cards thead{display:none}.cards tr{display:block;padding:6px 0}.cards tr+tr{border-top:1px solid var(--frame)}
.cards tbody tr td{display:block;border:0;padding:1px 0;text-align:left;max-width:none}
.cards tbody tr td:nth-child(-n+3){display:inline-block;min-width:0;padding-right:12px}
.cards td.number+td.number::before{content:attr(data-head) " "}}
@media print{body{font-size:11pt}nav{display:none}.scroll{overflow:visible}.scroll table{font-size:8pt}
.scroll th,.scroll td,.scroll td:last-child{min-width:0;padding-right:7px}.finding,tr{break-inside:avoid}
h2,h3{break-after:avoid}details::details-content{content-visibility:visible;display:block}
.verdict,.finding,pre{border:1px solid var(--frame)}}
"""
