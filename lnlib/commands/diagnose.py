"""python -m lnlib diagnose: is a function a layer norm, and which mistake is it?"""

import json

from lnlib.commands import UsageError, load, write
from lnlib.diagnosis import diagnose

_WRITTEN = {
    "text": str,
    "md": lambda report: report._repr_markdown_(),
    "json": lambda report: json.dumps(report.as_dict(), indent=2, ensure_ascii=False),
}


def arguments(parser):
    """Describe the arguments of the command to argparse."""
    parser.add_argument(
        "function",
        metavar="module:function",
        help="a function of (input, normalized_shape, weight, bias, eps), or a class "
        "of torch.nn.Module; modules in the current directory are found",
    )
    parser.add_argument(
        "--backward",
        metavar="module:function",
        help="its gradient, a function of (dy, input, normalized_shape, mean, rstd, "
        "weight); by default autograd",
    )
    parser.add_argument(
        "--arrays",
        choices=("numpy", "torch"),
        help="what the function takes; found out if not given",
    )
    parser.add_argument(
        "--dtypes",
        nargs="+",
        metavar="DTYPE",
        help="out of float64, float32, bfloat16, float16; by default all",
    )
    parser.add_argument("--device", help="the torch device to run on, such as cuda")
    parser.add_argument(
        "--format", choices=tuple(_WRITTEN), default="text", help="of the report"
    )


def run(options):
    """Diagnose and print; 0 if it is a layer norm, 1 if a fault was found."""
    function = load(options.function)
    backward = None if options.backward is None else load(options.backward)
    dtypes = options.dtypes
    if dtypes is not None:  # between them spaces or commas
        dtypes = ",".join(dtypes).split(",")
    try:
        report = diagnose(
            function,
            backward,
            arrays=options.arrays,
            dtypes=dtypes,
            device=options.device,
        )
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise UsageError(str(error)) from None
    write(_WRITTEN[options.format](report))
    return 0 if report.ok else 1
