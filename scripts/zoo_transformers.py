"""Models of Hugging Face's transformers, small, with random weights."""

import torch

from zoo_registry import MODELS, Entry


class Field(torch.nn.Module):
    """A model of transformers as a function from named arrays to one array."""

    def __init__(self, inner, names, field=None):
        super().__init__()
        self.inner, self.names, self.field = inner, names, field

    def forward(self, *arrays):
        result = self.inner(**dict(zip(self.names, arrays)))
        for field in [self.field] if self.field else ["logits", "last_hidden_state", "pooler_output"]:
            if getattr(result, field, None) is not None:
                return getattr(result, field)
        return result[0]


GENERAL = dict(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, max_position_embeddings=64,
               num_labels=3, pad_token_id=0, bos_token_id=1, eos_token_id=2, use_cache=False)
CLASSES, CAUSAL = "SequenceClassification", "CausalLM"
GROUPED = dict(num_key_value_heads=2)
GPT = dict(n_embd=32, n_layer=2, n_head=4, n_positions=64)
# model type: (auto class, changes to the configuration; None leaves a setting to the model)
TEXT = {
    "bert": (CLASSES, {}), "distilbert": (CLASSES, dict(dim=32, n_layers=2, n_heads=4, hidden_dim=48)), "roberta": (CLASSES, {}), "electra": (CLASSES, dict(embedding_size=32)),
    "albert": (CLASSES, dict(embedding_size=16)), "camembert": (CLASSES, {}), "xlm-roberta": (CLASSES, {}), "xlm-roberta-xl": (CLASSES, {}), "roberta-prelayernorm": (CLASSES, {}),
    "deberta": (CLASSES, dict(relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=16)),
    "deberta-v2": (CLASSES, dict(relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8)), "mpnet": (CLASSES, {}), "xmod": (CLASSES, dict(default_language="en_XX", languages=["en_XX"])),
    "modernbert": (CLASSES, dict(global_attn_every_n_layers=2, local_attention=4)), "convbert": (CLASSES, dict(embedding_size=32, head_ratio=2, conv_kernel_size=3)),
    "squeezebert": (CLASSES, dict(embedding_size=32, q_groups=2, k_groups=2, v_groups=2, post_attention_groups=1, intermediate_groups=2, output_groups=2)),
    "mobilebert": (CLASSES, dict(embedding_size=32, intra_bottleneck_size=16, true_hidden_size=16)), "data2vec-text": (CLASSES, {}), "ibert": (CLASSES, {}), "luke": ("", dict(entity_vocab_size=8, entity_emb_size=16)),
    "funnel": (CLASSES, dict(num_hidden_layers=None, d_model=32, n_head=4, d_head=8, d_inner=48, block_sizes=[1, 1], num_decoder_layers=1)), "fnet": (CLASSES, {}),
    "nystromformer": (CLASSES, dict(num_landmarks=4, segment_means_seq_len=8)), "rembert": (CLASSES, dict(input_embedding_size=16, output_embedding_size=16)), "ernie": (CLASSES, {}),
    "roformer": (CLASSES, dict(embedding_size=32)), "splinter": ("", {}), "layoutlm": ("", {}), "megatron-bert": (CLASSES, {}), "bert-generation": ("", {}), "esm": (CLASSES, dict(mask_token_id=3, token_dropout=False)),
    "xlnet": (CLASSES, dict(max_position_embeddings=None, d_model=32, n_layer=2, n_head=4, d_inner=48)), "xlm": (CLASSES, dict(emb_dim=32, n_layers=2, n_heads=4)),
    "flaubert": (CLASSES, dict(emb_dim=32, n_layers=2, n_heads=4)), "longformer": (CLASSES, dict(attention_window=4)), "big_bird": (CLASSES, dict(attention_type="original_full")),
    "gpt2": (CAUSAL, GPT), "gpt_neo": (CAUSAL, dict(num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], window_size=4)), "gpt_neox": (CAUSAL, {}), "gpt_bigcode": (CAUSAL, GPT),
    "gptj": (CAUSAL, dict(GPT, rotary_dim=4)), "codegen": (CAUSAL, dict(GPT, rotary_dim=4)), "opt": (CAUSAL, dict(ffn_dim=48, word_embed_proj_dim=32)), "openai-gpt": (CLASSES, GPT),
    "llama": (CAUSAL, GROUPED), "mistral": (CAUSAL, dict(GROUPED, sliding_window=4)), "qwen2": (CAUSAL, GROUPED), "qwen3": (CAUSAL, dict(GROUPED, head_dim=8)),
    "gemma": (CAUSAL, dict(GROUPED, head_dim=8)), "gemma2": (CAUSAL, dict(GROUPED, head_dim=8, sliding_window=4)), "gemma3_text": (CAUSAL, dict(GROUPED, head_dim=8, sliding_window=4)),
    "phi": (CAUSAL, {}), "phi3": (CAUSAL, GROUPED), "stablelm": (CAUSAL, GROUPED), "falcon": (CAUSAL, {}), "bloom": (CAUSAL, dict(n_layer=2, n_head=4)), "mpt": (CAUSAL, dict(d_model=32, n_heads=4, n_layers=2, max_seq_len=64)),
    "cohere": (CAUSAL, GROUPED), "olmo": (CAUSAL, {}), "olmo2": (CAUSAL, {}), "granite": (CAUSAL, GROUPED), "starcoder2": (CAUSAL, GROUPED), "smollm3": (CAUSAL, GROUPED), "nemotron": (CAUSAL, GROUPED),
    "glm": (CAUSAL, dict(GROUPED, head_dim=8)), "helium": (CAUSAL, dict(GROUPED, head_dim=8)), "mamba": (CAUSAL, dict(state_size=4)), "rwkv": (CAUSAL, dict(attention_hidden_size=32, context_length=64)), "biogpt": (CAUSAL, {}),
    "xglm": (CAUSAL, dict(d_model=32, ffn_dim=48, num_layers=2, attention_heads=4)), "mixtral": (CAUSAL, dict(GROUPED, num_local_experts=4)), "qwen2_moe": (CAUSAL, dict(GROUPED, num_experts=4, moe_intermediate_size=16, shared_expert_intermediate_size=16)),
}
UNMASKED = {"nystromformer", "fnet", "mamba", "rwkv", "openai-gpt"}


def build(config, auto):
    """In the attention that exports: scaled_dot_product_attention where the model has it."""
    import transformers

    config.architectures = config.architectures or []
    kind = getattr(transformers, "AutoModel" + ("For" + auto if auto else "")) if isinstance(auto, str) else auto
    make = kind.from_config if hasattr(kind, "from_config") else kind._from_config
    for attention in ("sdpa", "eager"):
        try:
            config._attn_implementation = attention
            return make(config)
        except ValueError:
            continue
    return make(config)


def settings(kind, general, changes):
    """A configuration: what is general where the model has such a setting, then the model's own."""
    from transformers import AutoConfig

    known = AutoConfig.for_model(kind)
    given = {k: v for k, v in general.items() if k in ("num_labels", "use_cache") or k in changes or hasattr(known, k)}
    given = {k: v for k, v in {**given, **changes}.items() if v is not None}
    return AutoConfig.for_model(kind, **given)


def text(kind):
    def make():
        auto, changes = TEXT[kind]
        net = build(settings(kind, GENERAL, changes), auto)
        if hasattr(net, "set_experts_implementation"):
            net.set_experts_implementation("eager")
        ids, mask = torch.randint(3, 64, (2, 8)), torch.ones(2, 8, dtype=torch.int64)
        mask[1, 6:] = 0
        count = 1 if kind in UNMASKED else 2
        names = ["input_ids", "attention_mask"][:count]
        return Field(net, names), [ids, mask][:count], names

    return make


for kind in TEXT:
    MODELS[f"text/{kind}"] = Entry(text(kind))

LAYERS = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
PATCHES = dict(LAYERS, image_size=32, patch_size=8)
STAGES = dict(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1])
VISION = {
    "vit": PATCHES, "deit": PATCHES, "beit": PATCHES, "dinov2": PATCHES, "dinov2_with_registers": PATCHES, "vit_msn": PATCHES, "data2vec-vision": PATCHES, "ijepa": PATCHES,
    "swin": dict(image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 4], window_size=4), "swinv2": dict(image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 4], window_size=4),
    "convnext": STAGES, "convnextv2": STAGES, "resnet": dict(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"), "bit": dict(embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1], num_groups=4),
    "poolformer": STAGES, "segformer": dict(hidden_sizes=[8, 16], depths=[1, 1], num_encoder_blocks=2, num_attention_heads=[1, 2], sr_ratios=[2, 1], strides=[4, 2], patch_sizes=[7, 3], mlp_ratios=[2, 2]),
    "mobilenet_v1": {}, "mobilenet_v2": {}, "regnet": dict(embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], groups_width=8),
    "cvt": dict(embed_dim=[8, 16, 16], num_heads=[1, 2, 2], depth=[1, 1, 1], drop_path_rate=[0.0, 0.0, 0.0]), "levit": dict(image_size=64, hidden_sizes=[16, 24, 32], num_attention_heads=[2, 2, 2], depths=[1, 1, 1], key_dim=[8, 8, 8]),
    "pvt": dict(image_size=32, num_attention_heads=[1, 2, 2, 2], **STAGES), "pvt_v2": dict(image_size=32, num_attention_heads=[1, 2, 2, 2], **STAGES),
    "mobilevit": dict(image_size=64, hidden_sizes=[8, 16, 16], neck_hidden_sizes=[8, 8, 16, 16, 16, 16, 32]), "mobilevitv2": dict(image_size=64, width_multiplier=0.25),
    "efficientnet": dict(image_size=64, hidden_dim=320, width_coefficient=0.25, depth_coefficient=0.2), "swiftformer": dict(image_size=64, depths=[1, 1, 1, 1], embed_dims=[8, 16, 16, 16]), "focalnet": dict(image_size=32, embed_dim=8, depths=[1, 1], hidden_sizes=[8, 16], focal_levels=[1, 1], focal_windows=[3, 3]),
}


def vision(kind):
    def make():
        size = VISION[kind].get("image_size", 32)
        net = build(settings(kind, {"num_labels": 5}, VISION[kind]), "ImageClassification")
        return Field(net, ["pixel_values"]), [torch.randn(2, 3, size, size)], ["pixel_values"]

    return make


for kind in VISION:
    MODELS[f"vision/{kind}"] = Entry(vision(kind))

# Towers and encoders: name -> (class, configuration, changes, what it is given: name -> array, field)
D = dict(d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, vocab_size=64, max_position_embeddings=64,
         pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=2, use_cache=False, num_labels=3, forced_eos_token_id=None)
SPEECH = dict(LAYERS, vocab_size=32, conv_dim=[16, 16, 16], conv_kernel=[10, 3, 2], conv_stride=[5, 2, 2], num_feat_extract_layers=3, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, num_labels=3,
              apply_spec_augment=False, layerdrop=0.0, classifier_proj_size=16)
WIDTHS = dict(vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=2, num_heads=4, pad_token_id=0, eos_token_id=2, decoder_start_token_id=0, use_cache=False, num_labels=3)
IMAGE = {"pixel_values": (2, 3, 32, 32)}
IDS = {"input_ids": (2, 8), "attention_mask": (2, 8)}
BOTH = {**IDS, "decoder_input_ids": (2, 6)}
TEXTS = dict(LAYERS, vocab_size=64, max_position_embeddings=64, projection_dim=16, bos_token_id=1, eos_token_id=2, pad_token_id=0)
SERIES = dict(d_model=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, context_length=32, prediction_length=8, patch_length=8, stride=8, num_input_channels=3, patch_stride=8)
ENCODERS = {
    "t5_encoder": ("T5EncoderModel", "T5Config", WIDTHS, IDS, ""), "t5": ("T5ForConditionalGeneration", "T5Config", WIDTHS, BOTH, ""), "mt5_encoder": ("MT5EncoderModel", "MT5Config", WIDTHS, IDS, ""),
    "umt5_encoder": ("UMT5EncoderModel", "UMT5Config", WIDTHS, IDS, ""), "bart": ("BartForConditionalGeneration", "BartConfig", D, BOTH, ""), "mbart": ("MBartForConditionalGeneration", "MBartConfig", D, BOTH, ""),
    "marian": ("MarianMTModel", "MarianConfig", D, BOTH, ""), "pegasus": ("PegasusForConditionalGeneration", "PegasusConfig", D, BOTH, ""), "m2m_100": ("M2M100ForConditionalGeneration", "M2M100Config", D, BOTH, ""),
    "blenderbot": ("BlenderbotForConditionalGeneration", "BlenderbotConfig", D, BOTH, ""),
    "wav2vec2": ("Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", SPEECH, {"input_values": (2, 640)}, ""), "wav2vec2_ctc": ("Wav2Vec2ForCTC", "Wav2Vec2Config", SPEECH, {"input_values": (2, 640)}, ""),
    "hubert": ("HubertForSequenceClassification", "HubertConfig", SPEECH, {"input_values": (2, 640)}, ""), "wavlm": ("WavLMForSequenceClassification", "WavLMConfig", SPEECH, {"input_values": (2, 640)}, ""),
    "unispeech": ("UniSpeechForSequenceClassification", "UniSpeechConfig", SPEECH, {"input_values": (2, 640)}, ""), "data2vec-audio": ("Data2VecAudioForSequenceClassification", "Data2VecAudioConfig", SPEECH, {"input_values": (2, 640)}, ""),
    "whisper_encoder": ("WhisperForAudioClassification", "WhisperConfig", dict(D, num_mel_bins=8, max_source_positions=16, max_target_positions=16), {"input_features": (2, 8, 32)}, ""),
    "whisper": ("WhisperForConditionalGeneration", "WhisperConfig", dict(D, num_mel_bins=8, max_source_positions=16, max_target_positions=16), {"input_features": (2, 8, 32), "decoder_input_ids": (2, 6)}, ""),
    "audio-spectrogram-transformer": ("ASTForAudioClassification", "ASTConfig", dict(LAYERS, patch_size=8, num_mel_bins=16, max_length=32, frequency_stride=8, time_stride=8, num_labels=3), {"input_values": (2, 32, 16)}, ""),
    "speech_to_text": ("Speech2TextForConditionalGeneration", "Speech2TextConfig", dict(D, input_feat_per_channel=8, conv_channels=16, max_source_positions=64, max_target_positions=64), {"input_features": (2, 32, 8), "decoder_input_ids": (2, 6)}, ""),
    "clip_text": ("CLIPTextModelWithProjection", "CLIPTextConfig", TEXTS, IDS, "text_embeds"), "clip_vision": ("CLIPVisionModelWithProjection", "CLIPVisionConfig", dict(PATCHES, projection_dim=16), IMAGE, "image_embeds"),
    "siglip_vision": ("SiglipVisionModel", "SiglipVisionConfig", PATCHES, IMAGE, "pooler_output"), "siglip_text": ("SiglipTextModel", "SiglipTextConfig", TEXTS, {"input_ids": (2, 8)}, "pooler_output"),
    "blip_vision": ("BlipVisionModel", "BlipVisionConfig", PATCHES, IMAGE, "pooler_output"), "vit_mae_encoder": ("ViTMAEModel", "ViTMAEConfig", dict(PATCHES, mask_ratio=0.0), IMAGE, ""),
    "segformer_semantic": ("SegformerForSemanticSegmentation", "SegformerConfig", dict(VISION["segformer"], decoder_hidden_size=16, num_labels=4), IMAGE, "logits"), "yolos": ("YolosForObjectDetection", "YolosConfig", dict(LAYERS, image_size=[32, 32], patch_size=8, num_detection_tokens=4, num_labels=3), IMAGE, "logits"),
    "owlvit_vision": ("OwlViTVisionModel", "OwlViTVisionConfig", PATCHES, IMAGE, "pooler_output"), "dpt": ("DPTForDepthEstimation", "DPTConfig", dict(PATCHES, backbone_out_indices=[0, 1, 1, 1], neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8, is_hybrid=False, num_hidden_layers=4), IMAGE, "predicted_depth"),
    "videomae": ("VideoMAEForVideoClassification", "VideoMAEConfig", dict(PATCHES, num_frames=4, tubelet_size=2, num_labels=3), {"pixel_values": (2, 4, 3, 32, 32)}, ""), "vivit": ("VivitForVideoClassification", "VivitConfig", dict(PATCHES, num_frames=4, tubelet_size=[2, 8, 8], num_labels=3), {"pixel_values": (2, 4, 3, 32, 32)}, ""),
    "timesformer": ("TimesformerForVideoClassification", "TimesformerConfig", dict(PATCHES, num_frames=2, num_labels=3), {"pixel_values": (2, 2, 3, 32, 32)}, ""), "patchtst": ("PatchTSTForPrediction", "PatchTSTConfig", SERIES, {"past_values": (2, 32, 3)}, "prediction_outputs"),
    "patchtsmixer": ("PatchTSMixerForPrediction", "PatchTSMixerConfig", SERIES, {"past_values": (2, 32, 3)}, "prediction_outputs"),
}


def array(name, extents):
    if name.endswith("mask"):
        mask = torch.ones(*extents, dtype=torch.int64)
        mask[1, -2:] = 0
        return mask
    return torch.randint(3, 64, extents) if name.endswith("ids") else torch.randn(*extents)


def encoder(name):
    def make():
        import transformers

        kind, config, changes, given, field = ENCODERS[name]
        net = build(getattr(transformers, config)(**changes), getattr(transformers, kind))
        return Field(net, list(given), field), [array(n, e) for n, e in given.items()], list(given)

    return make


for name in ENCODERS:
    MODELS[f"encoder/{name}"] = Entry(encoder(name))
