"""Who answers whom: a small learnt model of reply structure, for chats where many conversations run through each other.

`linker.Linker` gives, of a stream of messages, which earlier one each of them answers. README.md says what it was
trained on, how, and how well it does. Run time needs numpy and safetensors only; `train` needs torch.
"""
