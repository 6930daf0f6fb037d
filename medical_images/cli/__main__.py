"""`python -m medical_images.cli`."""

from medical_images.cli import main

if __name__ == "__main__":
    main()
