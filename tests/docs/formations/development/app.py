import os

print("port", os.environ["PORT"])
