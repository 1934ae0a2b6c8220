# A template, filled by `python -m release packages`: see release/README.md.
class Gemmahub < Formula
  include Language::Python::Virtualenv

  desc "Run Gemma models on your own machine, precision in plain sight"
  homepage "@HOMEPAGE@"
  url "@ADDRESS@/gemmahub-@VERSION@.tar.gz"
  sha256 "@SHA256 gemmahub@"
  license "Apache-2.0"

  depends_on "rust" => :build # rpds-py and hf-xet are built from source
  depends_on "llama.cpp" # llama-server, made for this Mac or PC
  depends_on "python@3.13"

  # @RESOURCES@

  def install
    virtualenv_install_with_resources
  end

  def caveats
    <<~EOS
      GGUF files run with the llama-server of Homebrew's llama.cpp. For MLX, install gemmahub
      with uv or pipx: it has no source distribution that a formula could build.
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/gemmahub --version")
    system bin/"gemmahub", "plan", "gemma-3-1b-it"
  end
end
