#!/bin/sh
echo Ã©ÿ
