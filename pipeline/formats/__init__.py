"""Recordings in many containers, read as streams of EventPacket. One file a container, one row a container."""
