"""Make the built site self-contained: nothing is asked of another host.

Mathematics is set by a MathJax that the site serves itself, out of the package
sphinx-mathjax-offline. The loader of thebe goes: it points to another host, and the
theme writes it twice, which is an error in every page. What a page loads and does not
use goes too, so that it opens fast: a script twin of the icon font, fonts fetched
ahead of use, marks in code that change nothing, the menu of MathJax, and MathJax
itself where there is no formula.
"""

import importlib.util
import re
import shutil
from pathlib import Path

from sphinx.errors import ExtensionError

# The parts of MathJax that set TeX in a page and describe it to screen readers. Its
# own ready-made bundles carry the menu as well, a third of their bytes. In this order
# each part finds those that it needs; `startup` brings the loader.
COMPONENTS = (
    "startup",
    "core",
    "input/tex",
    "output/chtml",
    "output/chtml/fonts/tex",
    "a11y/assistive-mml",
)
# What these fetch when a formula asks for it.
ON_DEMAND = ("output/chtml/fonts/woff-v2", "input/tex/extensions")
BUNDLE = "mathjax/mathjax.js"

ICON_SCRIPT = re.compile(
    r"\s*<(?:script|link)\b[^>]*fontawesome/[^>]*all\.min\.js[^>]*>(?:</script>)?"
)
FONT_PRELOAD = re.compile(r'\s*<link rel="preload" as="font"[^>]*>')
# The parts of sphinx-design, on every page, and what shows that a page uses it.
DESIGN = re.compile(
    r"\s*(?:<link[^>]*sphinx-design[^>]*>|<script[^>]*design-tabs\.js[^>]*></script>)"
)
DESIGN_USED = re.compile(r'class="[^"]*\bsd-')
# Names, punctuation and space in code have the colour of the code around them.
PLAIN_CODE = re.compile(r'<span class="[npw]">([^<]*)</span>')
ICON = re.compile(r"\bfa-[a-z0-9-]+")
ICON_RULE = re.compile(r'([^{}]+)\{content:"[^"]*"\}')
THEBE_CONFIG = re.compile(
    r'<script type="text/x-thebe-config">.*?</script>\s*'
    r"<script>kernelName = '[^']*'</script>",
    re.DOTALL,
)


def mathjax_source():
    """The folder of MathJax in the package that carries it."""
    # The name has dashes, so no import statement can name it.
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None:
        raise ExtensionError(
            "expected the package sphinx-mathjax-offline, which MathJax is taken from, "
            "but it is not installed; install requirements.lock"
        )
    folder = Path(spec.origin).parent / "static" / "mathjax"
    wanted = [*(f"{name}.js" for name in COMPONENTS), *ON_DEMAND]
    if missing := [name for name in wanted if not (folder / name).exists()]:
        raise ExtensionError(
            f"expected sphinx-mathjax-offline to have MathJax's {', '.join(missing)}, "
            f"but {folder} has not"
        )
    return folder


def bundle(folder):
    """One script out of the components, in place of one request for each.

    The first part would fetch the others once the script has run to its end; by then
    they are there, and have been declared.
    """
    parts = [(folder / f"{name}.js").read_text("utf-8") for name in COMPONENTS]
    names = ", ".join(f'"{name}"' for name in COMPONENTS)
    # The loader knows the fonts by their file.
    names = names.replace("fonts/tex", "fonts/tex.js")
    parts.insert(1, f"MathJax.loader.preLoad({names});")
    return "\n".join(parts)


def use_own_mathjax(app, config):
    mathjax_source()
    config.mathjax_path = BUNDLE
    settings = dict(config.mathjax3_config or {})
    settings["loader"] = {"load": [], **settings.get("loader", {})}
    config.mathjax3_config = settings


def drop_scripts(app, pagename, templatename, context, doctree):
    def keep(item):
        name = str(getattr(item, "filename", item))
        text = f"{name}{getattr(item, 'attributes', '')}".lower()
        if not has_formulas and ("mathjax/" in text or "window.mathjax" in text):
            return False
        return "thebe" not in text

    # Sphinx asks whether the pages below this one have formulas, too.
    has_formulas = app.env.get_domain("math").data["has_equations"].get(pagename)
    for key in ("script_files", "css_files"):
        context[key] = [item for item in context.get(key, []) if keep(item)]


def trim(html):
    """A page without what it loads and does not use."""
    for pattern in (ICON_SCRIPT, FONT_PRELOAD, THEBE_CONFIG):
        html = pattern.sub("", html)
    html = PLAIN_CODE.sub(r"\1", html)
    return html if DESIGN_USED.search(html) else DESIGN.sub("", html)


def trim_icons(css, used):
    """The stylesheet of the icon font with the icons that are used, of some 1,900."""

    def kept(rule):
        return rule[0] if used.intersection(ICON.findall(rule[1])) else ""

    return ICON_RULE.sub(kept, css)


def finish(app, exception):
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    static = site / "_static"
    source = mathjax_source()
    for name in ON_DEMAND:
        shutil.copytree(source / name, static / "mathjax" / name, dirs_exist_ok=True)
    (static / BUNDLE).write_text(bundle(source), encoding="utf-8")
    for icons in static.glob("vendor/fontawesome/*/js"):
        shutil.rmtree(icons)
    for page in site.rglob("*.html"):
        page.write_text(trim(page.read_text("utf-8")), encoding="utf-8")
    used = set()
    for pattern in ("*.html", "*.js"):
        for file in site.rglob(pattern):
            used.update(ICON.findall(file.read_text("utf-8")))
    for css in static.glob("vendor/fontawesome/*/css/all.min.css"):
        css.write_text(trim_icons(css.read_text("utf-8"), used), encoding="utf-8")


def setup(app):
    app.connect("config-inited", use_own_mathjax)
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
