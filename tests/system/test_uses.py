import textwrap

import pytest

from preflight.system.amounts import Amounts
from preflight.system.code import parse_file
from preflight.system.flow import Flow
from preflight.system.uses import Act, read_uses


@pytest.fixture
def uses(tmp_path):
    def read(*texts, **config):
        paths = []
        for number, text in enumerate(texts):
            path = tmp_path / f"file{number}.py"
            path.write_text(textwrap.dedent(text))
            paths.append(path)
        flow = Flow([parse_file(path) for path in paths])
        return read_uses(flow, Amounts(flow, lambda key: config.get(key[-1])))

    return read


def said(uses, act):
    """Return the paths of one act: keys as `<a.b>`, `…` where more follows."""
    return {
        "".join(part if isinstance(part, str) else f"<{'.'.join(part)}>" for part in use.origin.parts)
        + ("" if use.origin.whole else "…")
        for use in uses
        if use.act is act
    }


KEEPER = """
class Keeper:
    def __init__(self, root):
        self.root = root
    def read(self):
        open(self.root)
Keeper(cfg['train'])
"""


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("open(cfg['train'])", "<train>"),
        ("open(cfg['train'], 'rb')", "<train>"),
        ("open(cfg['train'], mode='r')", "<train>"),
        ("open(cfg['train'], encoding='utf-8')", "<train>"),
        ("Path(cfg['train']).open()", "<train>"),
        ("Path(cfg['train']).read_text()", "<train>"),
        ("import numpy as np\nnp.load(cfg.data.train)", "<data.train>"),
        ("import numpy as np\nnp.load(cfg['data']['train'])", "<data.train>"),
        ("data = cfg['data']\ntorch.load(data['train'])", "<data.train>"),
        ("import pandas as pd\npd.read_csv(cfg.get('train', 'x.csv'))", "<train>"),
        ("pd.read_csv(getattr(cfg, 'train'))", "<train>"),
        ("import os\npd.read_csv(os.path.join(cfg['root'], 'a', 'b.csv'))", "<root>/a/b.csv"),
        ("pd.read_csv(Path(cfg['root']) / 'b.csv')", "<root>/b.csv"),
        ("pd.read_csv(Path(cfg['root'], 'b.csv'))", "<root>/b.csv"),
        ("pd.read_csv(cfg['root'] + '/b.csv')", "<root>/b.csv"),
        ("pd.read_csv(f\"{cfg['root']}/b.csv\")", "<root>/b.csv"),
        ("pd.read_csv(f\"{cfg['root']}/{name}.csv\")", "<root>/…"),
        ("import os\nopen(os.path.expandvars(os.path.expanduser(cfg['train'])))", "<train>"),
        ("import os\nos.walk(cfg['root'])", "<root>"),
        ("import glob\nglob.glob(cfg['root'] + '/*/*.jpg')", "<root>/*/*.jpg"),
        ("import glob\nfor f in sorted(glob.glob(cfg['train'])):\n    pd.read_parquet(f)", "<train>…"),
        ("for name in ['a', 'b']:\n    open(cfg['root'] + '/' + name)", "<root>/a"),
        ("def read(path):\n    return open(path)\nread(cfg['train'])", "<train>"),
        ("def read(path=None):\n    return open(path)\nread(path=cfg['train'])", "<train>"),
        (KEEPER, "<train>"),
        ("def where():\n    return cfg['train']\nopen(where())", "<train>"),
        ("a, b = cfg['x'], cfg['train']\nopen(b)", "<train>"),
        ("p = cfg['train'] if cfg['x'] else cfg['y']\nopen(p)", "<train>"),
        ("p = cfg['train'] or 'd.csv'\nopen(p)", "<train>"),
        ("if (p := cfg['train']):\n    open(p)", "<train>"),
        ("open('data/train.csv')", "data/train.csv"),
        ("open(cfg.data.path)", "<data.path>"),
        ("import os\nfor entry in os.scandir(cfg['root']):\n    open(entry.path)", "<root>…"),
        ("import os\nfor n in os.listdir(cfg['root']):\n    open(os.path.join(cfg['root'], n))", "<root>/…"),
        ("import os\nfor d, _, f in os.walk(cfg['root']):\n    [open(os.path.join(d, n)) for n in f]", "<root>…"),
        ("import shutil\nshutil.copy(cfg['train'], '/tmp')", "<train>"),
    ],
)  # fmt: skip
def test_reading_is_seen(uses, text, path):
    found = uses(text)
    assert path in said(found, Act.READ)
    assert path not in said(found, Act.WRITE)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("open(cfg['out'], 'w')", "<out>"),
        ("open(cfg['out'], mode='ab')", "<out>"),
        ("Path(cfg['out']).open('w')", "<out>"),
        ("Path(cfg['out']).mkdir(parents=True, exist_ok=True)", "<out>"),
        ("Path(cfg['out']).parent.mkdir(exist_ok=True)", "<out>…"),
        ("import os\nos.makedirs(cfg['out'], exist_ok=True)", "<out>"),
        ("import torch\ntorch.save(state, f\"{cfg['out']}/epoch{epoch}.pt\")", "<out>/epoch…"),
        ("import numpy as np\nnp.save(cfg['out'] + '/a.npy', x)", "<out>/a.npy"),
        ("df.to_csv(cfg['out'])", "<out>"),
        ("model.save_pretrained(args.out)", "<out>"),
        ("from torch.utils.tensorboard import SummaryWriter\nSummaryWriter(cfg['out'])", "<out>"),
        ("SummaryWriter(log_dir=cfg['out'])", "<out>"),
        ("TrainingArguments(output_dir=cfg['out'])", "<out>"),
        ("CIFAR10(cfg['out'], download=True)", "<out>"),
        ("CIFAR10(root=cfg['out'], download=True)", "<out>"),
        ("import shutil\nshutil.copy('a', cfg['out'])", "<out>"),
    ],
)
def test_writing_is_seen(uses, text, path):
    found = uses(text)
    assert path in said(found, Act.WRITE)
    assert path not in said(found, Act.READ)


@pytest.mark.parametrize(
    "text",
    [
        "if os.path.isdir(cfg['out']) and len(os.listdir(cfg['out'])) > 0:\n    raise ValueError",
        "if any(Path(cfg['out']).iterdir()):\n    sys.exit(1)",
        "if os.listdir(cfg['out']):\n    raise RuntimeError",
        "if os.path.exists(cfg['out']):\n    raise FileExistsError",
        "if Path(cfg['out']).exists():\n    raise FileExistsError",
        "os.makedirs(cfg['out'])",
        "Path(cfg['out']).mkdir(parents=True)",
    ],
)
def test_a_refused_folder_is_seen(uses, text):
    assert "<out>" in said(uses("import os, sys\n" + text), Act.FRESH)


@pytest.mark.parametrize(
    "text",
    [
        "if not os.listdir(cfg['out']):\n    raise ValueError",
        "if len(os.listdir(cfg['out'])) == 0:\n    raise ValueError",
        "if not os.path.exists(cfg['out']):\n    raise FileNotFoundError",
        "if os.listdir(cfg['out']):\n    print('resuming')",
        "if os.path.exists(cfg['out']) or force:\n    raise ValueError",
        "if not os.path.exists(cfg['out']):\n    os.makedirs(cfg['out'])",
        "os.makedirs(cfg['out'], exist_ok=True)",
        "try:\n    os.mkdir(cfg['out'])\nexcept FileExistsError:\n    pass",
    ],
)
def test_a_folder_that_may_be_there_is_not_refused(uses, text):
    assert said(uses("import os\n" + text), Act.FRESH) == set()


def test_a_switch_in_the_config_is_kept(uses):
    found = uses("import os\nif os.listdir(cfg['out']) and not cfg.get('overwrite'):\n    raise ValueError")
    assert [use.unless for use in found if use.act is Act.FRESH] == [(("overwrite",),)]


def test_files_held_open_and_fetched_names_are_seen(uses):
    found = uses("import glob\na = [open(f) for f in glob.glob(cfg['shards'])]\nT.from_pretrained(cfg['name'])")
    assert said(found, Act.HOLD) == {"<shards>…"}
    assert said(found, Act.FETCH) == {"<name>"}


@pytest.mark.parametrize(
    "text",
    [
        "model.train()",
        "import json\njson.dump(x, f)",
        "import os\nos.path.exists(cfg['train'])",
        "open(path)",
        "open(cfg['train'], mode)",
        "x = cfg['train'].split('/')",
        "torch.save(model)",
        "import train\ntrain.load(x)",
    ],
)
def test_what_says_nothing_of_a_path_is_passed_over(uses, text):
    assert uses(text) == ()


def test_what_stands_under_a_condition_is_not_certain(uses):
    found = uses("open(cfg['a'])\nif fast:\n    open(cfg['b'])\ntry:\n    open(cfg['c'])\nexcept OSError:\n    pass")
    assert {use.origin.key[0]: use.certain for use in found} == {"a": True, "b": False, "c": False}


def test_paths_are_followed_from_file_to_file(uses):
    first = "from file1 import Pets\nPets(cfg['root'])"
    second = "import os\nclass Pets:\n    def __init__(self, root):\n        self.names = os.listdir(root)"
    assert said(uses(first, second), Act.READ) == {"<root>"}


def test_names_in_different_functions_are_different(uses):
    text = "def a():\n    p = cfg['x']\n    open(p)\ndef b():\n    p = cfg['y']\n    open(p, 'w')\n"
    found = uses(text)
    assert (said(found, Act.READ), said(found, Act.WRITE)) == ({"<x>"}, {"<y>"})


def test_texts_that_feed_themselves_end(uses):
    text = (
        "p = cfg['a']\nfor i in x:\n    p = p + '/b'\n    p = p + p\nopen(p)\ndef f(q):\n    return f(q + '/c')\nf(p)\n"
    )
    assert any(use.origin.parts[0] == ("a",) for use in uses(text))


@pytest.mark.parametrize(
    "text", [" + ".join(["cfg['a']"] * 300), "cfg" + "['a']" * 150, "cfg" + ".a" * 300, "f(" * 60 + ")" * 60]
)
def test_deep_expressions_end(uses, text):
    assert said(uses(f"x = {text}\nopen(cfg['b'])"), Act.READ) == {"<b>"}


@pytest.mark.parametrize(
    ("text", "certain"),
    [
        ("def load(path):\n    open(path)\nload(cfg['a'])", True),
        ("def load(path):\n    open(path)\nif fast:\n    load(cfg['a'])", False),
        ("def load(path):\n    open(path)\nif fast:\n    load(cfg['a'])\nload(cfg['a'])", True),
        ("def main():\n    open(cfg['a'])\nif __name__ == '__main__':\n    main()", True),
        ("def main():\n    open(cfg['a'])\nlaunch(main)", True),
        ("@click.command()\ndef main():\n    open(cfg['a'])", True),
        ("def export():\n    open(cfg['a'])", False),
        ("class Net:\n    def train_dataloader(self):\n        open(cfg['a'])", True),
        ("class Net:\n    def __len__(self):\n        open(cfg['a'])", True),
        ("class A:\n    def f(self):\n        open(cfg['a'])\nclass B:\n    def f(self):\n        pass\nx.f()", False),
    ],
)
def test_a_use_in_a_function_is_as_certain_as_its_call(uses, text, certain):
    assert [use.certain for use in uses(text)] == [certain]


def test_a_condition_that_is_a_key_is_kept(uses):
    (found,) = uses("def load(path):\n    open(path)\nif cfg['resume']:\n    load(cfg['a'])")
    assert (found.certain, found.when) == (True, (("resume",),))


def test_a_function_of_a_library_is_not_the_projects_own(uses):
    first = "import torch\nfrom file1 import load\nload(cfg['a'])\ntorch.load(cfg['b'])"
    second = "def load(path):\n    open(path, 'w')\nclass Net:\n    def save(self, path):\n        pass\n"
    found = uses(first, second)
    assert (said(found, Act.WRITE), said(found, Act.READ)) == ({"<a>"}, {"<b>"})
    assert uses("def write(path):\n    open(path)\nfile.write('done')") == ()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("open(os.environ['ROOT'] + '/a.csv')", "$ROOT|/a.csv"),
        ("open(os.environ.get('ROOT', 'data') + '/a.csv')", "$ROOT,data|/a.csv"),
        ("open(os.path.join(os.getenv('ROOT', 'data'), 'a.csv'))", "$ROOT,data|/a.csv"),
        ("open(Path.home() / 'a.csv')", "~/a.csv"),
        ("open(tempfile.gettempdir() + '/a.csv')", "$TMPDIR,/tmp|/a.csv"),
    ],
)
def test_surroundings_are_followed(uses, text, path):
    (found,) = uses("import os, tempfile\nfrom pathlib import Path\n" + text)
    shown = [
        each if isinstance(each, str) else f"${each.name},{each.default}".strip(",") for each in found.origin.parts
    ]
    assert "|".join(shown) == path


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("for e in range(20):\n    torch.save(m.state_dict(), f\"{cfg['out']}/{e}.pt\")", (20, 1024)),
        ("for e in range(20):\n    torch.save(m.state_dict(), cfg['out'] + '/last.pt')", (1, 1024)),
        ("for e in range(20):\n    torch.save([m.state_dict(), o.state_dict()], f\"{cfg['out']}/{e}.pt\")", (20, 3072)),
        ("for e in range(20):\n    torch.save(m, f\"{cfg['out']}/{e}.pt\")", (20, 0)),
        (
            "for e in range(20):\n    torch.save(m.state_dict(), f\"{cfg['out']}/{e}.pt\")\n    os.remove(old)",
            (2, 1024),
        ),
        ("for e in range(20):\n    np.save(f\"{cfg['out']}/{e}.npy\", np.zeros(100))", (20, 800)),
        ("for e in range(20):\n    torch.save(m.state_dict(), Path(cfg['out']).with_suffix('.x'))", (1, 1024)),
    ],
)
def test_what_is_written_is_measured(uses, text, made):
    head = "import os, torch\nimport numpy as np\nm = torch.nn.Linear(16, 16)\no = torch.optim.Adam(m)\n"
    found = [use for use in uses(head + text) if use.act is Act.WRITE]
    assert [(use.times, use.size) for use in found] == [made]


def test_functions_that_all_call_each_other_end(uses):
    calls = "".join(f"        f{number}(path)\n" for number in range(60))
    text = "".join(f"def f{number}(path):\n    for i in range(2):\n{calls}" for number in range(60))
    found = uses(f"{text}def g(path):\n    open(path, 'w')\n    f0(path)\ng(cfg['a'])")
    assert [(use.certain, use.times) for use in found] == [(True, 1)]
