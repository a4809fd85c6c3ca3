"""Fine-tunes an image encoder; cannot start, for four everyday reasons."""

import os

import cv2
import yaml


def main():
    with open("config.yaml", encoding="utf-8") as file:
        settings = yaml.safe_load(file)
    os.makedirs(settings["output_dir"], exist_ok=True)
    with open(settings["weights"], "rb") as file:
        weights = file.read()
    print(f"{len(weights)} bytes of weights, OpenCV {cv2.__version__}, {settings['learning_rate'] / 10:.1e} to end with")


if __name__ == "__main__":
    main()
