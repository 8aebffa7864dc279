"""Make the built site self-contained: nothing is asked of another host.

Mathematics is set by a MathJax that the site serves itself, out of the package
sphinx-mathjax-offline. The loader of thebe goes: it points to another host, and the
theme writes it twice, which is an error in every page. So does the script twin of the
icon font, since the font alone draws the same icons.
"""

import importlib.util
import re
import shutil
from pathlib import Path

from sphinx.errors import ExtensionError

# Of MathJax, only what these pages use: one component, its fonts, TeX extensions.
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")

ICON_SCRIPT = re.compile(
    r"\s*<(?:script|link)\b[^>]*fontawesome/[^>]*all\.min\.js[^>]*>(?:</script>)?"
)
THEBE_CONFIG = re.compile(
    r'<script type="text/x-thebe-config">.*?</script>\s*'
    r"<script>kernelName = '[^']*'</script>",
    re.DOTALL,
)


def mathjax_source():
    # The name has dashes, so no import statement can name it.
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None:
        raise ExtensionError(
            "MathJax is taken from the package sphinx-mathjax-offline, which is not "
            "installed; install requirements.lock"
        )
    return Path(spec.origin).parent / "static" / "mathjax"


def use_own_mathjax(app, config):
    mathjax_source()
    config.mathjax_path = "mathjax/tex-chtml.js"


def drop_thebe(app, pagename, templatename, context, doctree):
    def keep(item):
        text = f"{getattr(item, 'filename', item)}{getattr(item, 'attributes', '')}"
        return "thebe" not in text.lower()

    for key in ("script_files", "css_files"):
        context[key] = [item for item in context.get(key, []) if keep(item)]


def finish(app, exception):
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    source = mathjax_source()
    for name in MATHJAX:
        target = static / "mathjax" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source / name, target)
    for page in Path(app.outdir).rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        trimmed = THEBE_CONFIG.sub("", ICON_SCRIPT.sub("", html))
        if trimmed != html:
            page.write_text(trimmed, encoding="utf-8")
    for icons in static.glob("vendor/fontawesome/*/js"):
        shutil.rmtree(icons)


def setup(app):
    app.connect("config-inited", use_own_mathjax)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
