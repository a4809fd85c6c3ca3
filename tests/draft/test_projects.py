"""Projects of other shapes: the section that `init` writes says what they need, and lets them go."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

HYDRA = {
    "conf/config.yaml": """
        defaults: [_self_]
        data: {root: images, split: train}
        trainer: {epochs: 4}
        hydra: {run: {dir: "outputs/${now:%Y-%m-%d}"}}
    """,
    "train.py": """
        import os
        from pathlib import Path
        try:
            import hydra
            main = hydra.main(config_path="conf", config_name="config", version_base=None)
        except ImportError:
            main = lambda function: function
        import numpy as np

        @main
        def train(cfg):
            root = Path(cfg.data.root) / cfg.data.split
            images = [np.load(file) for file in sorted(root.glob("*.npy"))]
            for epoch in range(cfg.trainer.epochs):
                np.savez(f"weights{epoch}.npz", w=images[0])

        if __name__ == "__main__":
            train()
    """,
}
OPTIONS = {
    "main.py": """
        import argparse, csv, sys
        parser = argparse.ArgumentParser()
        parser.add_argument("--data-file", default="data/train.csv")
        parser.add_argument("--out", default="runs/first")
        parser.add_argument("--num-classes", type=int, default=3)
        parser.add_argument("--resume", default=None)

        def load(path):
            with open(path) as file:
                return [(float(row["width"]), int(row["label"])) for row in csv.DictReader(file)]

        def main(arguments):
            rows = load(arguments.data_file)
            classify(rows, num_classes=arguments.num_classes)
            if arguments.resume:
                load(arguments.out + "/last.csv")

        if __name__ == "__main__":
            main(parser.parse_args(sys.argv[1:]))
    """,
}
PACKAGE = {
    "pyproject.toml": "[project]\nname = 'wings'\nversion = '1'\n",
    "settings.yaml": "root: data\noutput_dir: runs\nresume: false\n",
    "src/wings/__init__.py": "",
    "src/wings/io.py": """
        import os
        from PIL import Image

        def images(root):
            return [Image.open(os.path.join(root, name)) for name in sorted(os.listdir(root))]

        def checkpoint(folder):
            return open(os.path.join(folder, "last.pt"), "rb")
    """,
    "src/wings/train.py": """
        from .io import checkpoint, images
        from wings.report import write

        def main(config):
            images(config["root"])
            if config["resume"]:
                checkpoint(config["output_dir"])
            write(config["output_dir"])
    """,
    "src/wings/report.py": """
        import os

        def write(folder):
            os.makedirs(folder, exist_ok=True)
            with open(f"{folder}/report.txt", "w") as file:
                file.write("done")
    """,
}
NOTEBOOK = {
    "explore.ipynb": json.dumps(
        {
            "cells": [
                {"cell_type": "markdown", "source": ["# Wings\n", "open('no/code.csv')"]},
                {"cell_type": "code", "source": "%matplotlib inline\n!pip install nothing\nimport numpy as np"},
                {"cell_type": "code", "source": ["%%bash\n", "rm -rf /"]},
                {
                    "cell_type": "code",
                    "source": "import csv\nrows = list(csv.DictReader(open('data/train.csv')))",
                },
                {"cell_type": "code", "source": ["rows?\n", "x = [float(row['width']) for row in rows]\n"]},
            ],
            "nbformat": 4,
        }
    ),
}
LIGHTNING = {
    "config.yaml": """
        data: {root: images/train, batch_size: 2, workers: 2}
        trainer: {max_epochs: 2, accelerator: cpu, devices: 8}
        log_dir: logs
    """,
    "train.py": """
        import os
        import numpy as np
        import yaml

        class Module:
            def save_hyperparameters(self, config):
                self.hparams = config

        class Net(Module):
            def __init__(self, config):
                self.save_hyperparameters(config)
                self.config = config

            def train_dataloader(self):
                names = os.listdir(self.hparams.config["data"]["root"])
                files = [np.load(os.path.join(self.config["data"]["root"], name)) for name in names]
                return DataLoader(files, batch_size=2, num_workers=self.hparams["data"]["workers"])

        class Trainer:
            def __init__(self, config):
                self.config = config

            def fit(self, model):
                for epoch in range(self.config["trainer"]["max_epochs"]):
                    self.keep(model, epoch)

            def keep(self, model, epoch):
                np.save(os.path.join(self.config["log_dir"], f"net{epoch}.npy"), np.zeros((100, 100)))

        if __name__ == "__main__":
            config = yaml.safe_load(open("config.yaml"))
            Trainer(config).fit(Net(config))
    """,
}
DATA = """
    import os
    import numpy as np
    from PIL import Image
    os.makedirs("images/train")
    os.makedirs("data/pictures")
    for number in range(3):
        np.save(f"images/train/{number}.npy", np.zeros(3))
        Image.new("RGB", (4, 4)).save(f"data/pictures/{number}.png")
    with open("data/train.csv", "w") as file:
        file.write("id,width,label\\n" + "".join(f"a{n},{n / 2},{n % 3}\\n" for n in range(30)))
"""
TABLE = {
    "path": "data/train.csv",
    "columns": ["width", "label"],
    "values": {"width": {"missing": False}, "label": {"missing": False, "between": [0, 2]}},
}
PROJECTS = {
    "hydra": (
        HYDRA,
        "conf/config.yaml",
        {
            "imports": [{"name": "hydra", "optional": True}, "numpy"],
            "data": [{"path": "${data.root}/${data.split}", "files": {"glob": "*.npy", "min": 3}, "open": "all"}],
        },
    ),
    "options": (OPTIONS, "preflight.yaml", {"data": [TABLE]}),
    "package": (
        PACKAGE,
        "settings.yaml",
        {
            "imports": ["PIL"],
            "data": [{"path": "${root}", "files": {"glob": "**/*.png", "min": 3}, "open": "all"}],
            "paths": [{"path": "${output_dir}", "access": "write"}],
        },
    ),
    "notebook": (
        NOTEBOOK,
        "preflight.yaml",
        {
            "imports": ["numpy"],
            "data": [{"path": "data/train.csv", "columns": ["width"], "values": {"width": {"missing": False}}}],
        },
    ),
    "lightning": (
        LIGHTNING,
        "config.yaml",
        {
            "imports": ["numpy", "yaml"],
            "data": [{"path": "${data.root}", "files": {"glob": "**/*.npy", "min": 3}, "open": "all"}],
            "paths": [{"path": "${log_dir}", "access": "write", "free": "168kB", "inodes": 2}],
            "system": {"shm": "32MB", "processes": 40},
            "gpu": {"device": "${trainer.accelerator}", "count": "${trainer.devices}"},
        },
    ),
}


def preflight(*words: str) -> str:
    command = [sys.executable, "-m", "preflight", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", PROJECTS)
def test_the_section_is_telling_and_healthy(name, tmp_path, monkeypatch):
    files, config, wanted = PROJECTS[name]
    monkeypatch.chdir(tmp_path)
    for file, text in files.items():
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(textwrap.dedent(text))
    exec(textwrap.dedent(DATA), {})
    preflight("init", *(["--config", config] if config != "preflight.yaml" else []))
    assert yaml.safe_load(Path(config).read_text())["preflight"] == wanted
    assert preflight("run", "--config", config).splitlines()[-1].startswith("GO  ")
