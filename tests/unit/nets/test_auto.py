"""Nets of genoseq inside transformers and peft: the auto classes, the Trainer, adapters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from genoseq.nets.architectures import ARCHITECTURES
from genoseq.nets.auto import register_auto_nets
from genoseq.nets.models.hybrid import HybridConfig, HybridForCausalLM, HybridForSequenceClassification
from genoseq.nets.models.hyenadna import HyenaDNAConfig, HyenaDNAForCausalLM

TINY = HybridConfig(
    vocab_size=16, d_model=16, blocks=[{"mixer": "mamba2", "options": {"d_state": 8, "headdim": 8}}], num_labels=2
)


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    register_auto_nets()
    register_auto_nets()  # once more does no harm


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_every_configuration_is_found_by_its_type(model_type: str) -> None:
    assert isinstance(AutoConfig.for_model(model_type), ARCHITECTURES[model_type].config_class)


def test_the_auto_classes_open_what_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = HyenaDNAForCausalLM(HyenaDNAConfig(d_model=16, n_layer=1, filter_order=8, max_seq_len=30)).eval()
    net.save_pretrained(tmp_path)
    ids = torch.randint(7, 11, (1, 12))
    with torch.no_grad():
        again = AutoModelForCausalLM.from_pretrained(tmp_path)
        assert isinstance(again, HyenaDNAForCausalLM)
        assert torch.equal(again(ids).logits, net(ids).logits)
        backbone = AutoModel.from_pretrained(tmp_path)
        assert torch.equal(backbone(ids).last_hidden_state, net.hyena(ids).last_hidden_state)


class Bases(Dataset[dict[str, torch.Tensor]]):
    """Sequences of A with label 0, of C with label 1."""

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        label = index % 2
        return {"input_ids": torch.full((12,), 7 + label), "labels": torch.tensor(label)}


def test_the_trainer_trains(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = HybridForSequenceClassification(TINY)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=25,
        per_device_train_batch_size=8,
        learning_rate=2e-2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(model=net, args=arguments, train_dataset=Bases(), eval_dataset=Bases())
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < 0.2 * before
    trainer.save_model(str(tmp_path / "net"))
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "net")
    with torch.no_grad():
        assert again(torch.full((1, 12), 8)).logits.argmax().item() == 1


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks for it
def test_adapters_of_peft_train_only_themselves() -> None:
    torch.manual_seed(0)
    net = get_peft_model(HybridForCausalLM(TINY), LoraConfig(r=2, target_modules=["in_proj", "out_proj"]))
    ids = torch.randint(7, 11, (2, 12))
    net(input_ids=ids, labels=ids).loss.backward()
    trained = [name for name, p in net.named_parameters() if p.grad is not None]
    assert trained
    assert all("lora_" in name for name in trained)
