"""A Hugging Face Trainer with a small model of text, that evaluates and saves every 100 steps."""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

set_seed(17)
torch.set_num_threads(1)
lines = [line for line in torch.__doc__.split() + Trainer.__doc__.split() if line.isalpha()] * 40
examples = [
    {
        "input_ids": torch.tensor([1 + sum(word.encode()) % 400 for word in lines[start : start + 64]]),
        "labels": int(lines[start].istitle()),
    }
    for start in range(min(len(lines) - 64, 3201))
]
model = BertForSequenceClassification(
    BertConfig(vocab_size=500, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256)
)
arguments = TrainingArguments(
    output_dir="out",
    per_device_train_batch_size=16,
    num_train_epochs=2,
    save_steps=100,
    eval_strategy="steps",
    eval_steps=100,
    logging_steps=50,
    report_to=[],
    disable_tqdm=True,
)
trainer = Trainer(model, arguments, train_dataset=examples, eval_dataset=examples[:160])
trainer.train()
trainer.save_model("final")
