"""Draw what is piped in as a terminal window, for the README: FILE.svg is the only argument."""

import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

console = Console(record=True, width=80, file=sys.stderr)
console.print("[bold]$ python train_cifar.py --epochs 6 --data sample[/]", highlight=False)
console.print(Text(sys.stdin.read().rstrip()))
drawn = console.export_svg(title="tfmodels")
# Fonts aren't fetched from elsewhere: the reader's own monospaced one serves.
Path(sys.argv[1]).write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))
