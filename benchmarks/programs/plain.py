"""A plain loop over digits: train, evaluate and save in each epoch."""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
epochs = parser.parse_args().epochs
torch.manual_seed(17)
torch.set_num_threads(1)
images, labels = (torch.tensor(each) for each in load_digits(return_X_y=True))
images = (images.float() / 16).reshape(-1, 1, 8, 8).repeat(4, 1, 4, 4)
data = TensorDataset(images, labels.repeat(4))
train, held_out = torch.utils.data.random_split(data, [6500, len(data) - 6500])
model = nn.Sequential(
    *(nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(24, 32, 3, padding=1), nn.ReLU()),
    *(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(32 * 16, 2048), nn.ReLU(), nn.Linear(2048, 10)),
)
optimizer = torch.optim.Adam(model.parameters())
Path("out").mkdir(exist_ok=True)
for epoch in range(epochs):
    model.train()
    for batch, wanted in DataLoader(train, 64, shuffle=True):
        loss = nn.functional.cross_entropy(model(batch), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right = [(model(batch).argmax(1) == wanted).float().mean() for batch, wanted in DataLoader(held_out, 256)]
    print(epoch, float(loss), float(sum(right) / len(right)), flush=True)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, f"out/epoch-{epoch}.pt")
