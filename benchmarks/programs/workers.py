"""A loop that waits for its data: digits are turned by workers, one at a time, and a small model reads them."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Turned(Dataset):
    """Digits, each drawn large and turned by an angle of its own."""

    def __init__(self) -> None:
        self.images, self.labels = load_digits(return_X_y=True)

    def __len__(self) -> int:
        return len(self.labels) * 2

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = np.kron(self.images[index % len(self.labels)].reshape(8, 8) / 16, np.ones((28, 28)))
        angle = np.random.default_rng(index).uniform(-0.3, 0.3)
        y, x = np.mgrid[0:224, 0:224] - 112
        across = np.clip(np.cos(angle) * x - np.sin(angle) * y + 112, 0, 223).astype(int)
        down = np.clip(np.sin(angle) * x + np.cos(angle) * y + 112, 0, 223).astype(int)
        return torch.tensor(image[down, across][::8, ::8].copy(), dtype=torch.float32), int(
            self.labels[index % len(self.labels)]
        )


if __name__ == "__main__":
    torch.manual_seed(17)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = DataLoader(Turned(), 32, shuffle=True, num_workers=2)
    for _ in range(2):
        for step, (images, labels) in enumerate(batches):
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step + 1 == len(batches):
                torch.save(model.state_dict(), "last.pt")
                print(float(loss), flush=True)
