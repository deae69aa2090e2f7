"""Riak KV's protocol buffers port: messages and clocks by hand, pipelined connections to several nodes."""
